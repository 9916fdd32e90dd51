"""What an app's exception comes to: one event, `http.error`, an entry for the console, and in `dev` an explanation.

No stack leaves the process, but in `dev`, to a peer on this machine whose request came through no proxy.
"""

import logging
import time
from collections import deque
from collections.abc import Iterable
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from starlette.types import Scope

from lmservice.errors import innermost, one_line
from lmservice.telemetry.frames import place
from lmservice.web.problem import members
from lmservice.web.routes import RouteTemplates

FAILED: Final = "the service failed to answer"
"""All that others are told."""
KEPT: Final = 20
"""The number of failures that are remembered."""

_PROXIES: Final = (b"x-forwarded-", b"forwarded", b"via", b"x-real-ip")
_log = logging.getLogger("lmservice.request")


class Document(NamedTuple):
    """The body of an answer.

    Attributes:
        headers: what it needs, its media type among them.
    """

    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Failed(Protocol):
    """A request whose handler has raised."""

    scope: Scope
    path: str
    request_id: str

    async def refuse(
        self,
        status: HTTPStatus,
        detail: str,
        headers: Iterable[tuple[bytes, bytes]] = (),
        document: Document | None = None,
    ) -> None:
        """Answer with a problem, or the document in its place, where nothing has been answered yet."""


class Failures:
    """The failures of one service.

    Args:
        templates: by which a request's route is told.
        explains: whether a developer at this machine is told what was raised, as in `dev`.

    Attributes:
        last: the last ones, the newest last; to be read from any thread.
    """

    def __init__(self, templates: RouteTemplates, *, explains: bool) -> None:
        self._templates = templates
        self._explains = explains
        self.last: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def note(self, request: Failed, error: BaseException) -> None:
        """Log a request's failure, and remember it."""
        failure, where = tell(request.scope, request.path, error)
        self.last.append(
            {
                "at": round(time.time(), 3),
                "method": request.scope.get("method", "GET"),
                "route": self._templates.of(request.scope),
                "failure": failure,
                "place": where,
                "path": request.path,
                "request_id": request.request_id,
            }
        )

    async def answer(self, request: Failed, error: BaseException) -> None:
        """Answer a request whose handler has not: with a problem, or a developer with what was raised."""
        document = None
        if self._explains and is_developers(request.scope):
            from lmservice.web import error_page  # noqa: PLC0415 - for `dev` alone

            problem = members(HTTPStatus.INTERNAL_SERVER_ERROR, FAILED, request.request_id)
            document = error_page.document(request.scope, error, problem)
        await request.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, FAILED, document=document)


def tell(scope: Scope, path: str, error: BaseException) -> tuple[str, str]:
    """Log the exception that has ended a request or a WebSocket; return it in one line, and where it was raised."""
    line, where = one_line(innermost(error)), place(error, package_of(scope))
    values = {"path": path, "method": scope.get("method", "GET"), "error": line, "at": where}
    _log.error("http.error", exc_info=error, extra=values)
    return line, where


def package_of(scope: Scope) -> str:
    """Return the name of the package that has a request's handler; '' where the framework does not tell."""
    handler = scope.get("endpoint") or scope.get("route_handler")
    return str(getattr(handler, "__module__", None) or "").partition(".")[0]


def is_developers(scope: Scope) -> bool:
    """Return whether a request comes from this machine, by one of its own names and through no proxy.

    A name of another site that leads here (DNS rebinding) is not one of its own.
    """
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    client = scope.get("client")
    if client is None or not _is_loopback(client[0]) or any(name.startswith(_PROXIES) for name, _ in headers):
        return False
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    return all(map(_is_own, hosts))


def _is_own(host: str) -> bool:
    try:
        name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return False
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback
