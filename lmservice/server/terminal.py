"""What a developer's terminal says beside the log: links at the start, and at a failed start's end its reason."""

import sys
from collections.abc import Iterator
from typing import Protocol

from lmservice.errors import ExitCode
from lmservice.service import Service
from lmservice.settings.model import Settings
from lmservice.telemetry.logs import Stream
from lmservice.web import sockets
from lmservice.web.routes import routes_of, template_of

_DOCUMENTS = ("/docs", "/redoc", "/schema", "/openapi.json")
"""Where FastAPI, Litestar and lmservice describe a service, what is for people first."""


class Shown(Protocol):
    """A service that is about to start, or has failed to."""

    service: Service
    settings: Settings
    stream: Stream

    @property
    def failure(self) -> str:
        """Return why the start failed; '' where it has not."""


def show_links(running: Shown, management_url: str, url: str | None = None) -> bool:
    """Write where a browser finds the service, its documents and its console; return whether that is done.

    It is in `dev`, where the log is for people.

    Args:
        running: the service.
        management_url: the management listener's.
        url: its own listener's; None where it takes no requests.
    """
    if running.stream.json or running.settings.environment != "dev":
        return False
    links = {running.service.name: sockets.local(url)} if url is not None else {}
    links["console"] = sockets.local(management_url)
    if url is not None and (documents := next(_documents(running.service), None)) is not None:
        links["documents"] = f"{sockets.local(url)}{running.settings.root_path}{documents}"
    width = max(map(len, links))
    lines = "".join(f"  {name:{width}}  {link}\n" for name, link in links.items())
    running.stream.output.write(f"{lines}\n".encode())
    return True


def show_reason(running: Shown, code: ExitCode) -> None:
    """Write why the start failed, as the last thing, where the log is for people."""
    if code is ExitCode.START_FAILED and not running.stream.json:
        running.stream.output.flush()
        print(f"lmservice: {running.failure}", file=sys.stderr)  # noqa: T201 - after the log, and not a part of it


def _documents(service: Service) -> Iterator[str]:
    paths = {template_of(route) for route in routes_of(service.app)}
    return (path for path in _DOCUMENTS if path in paths)
