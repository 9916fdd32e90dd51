"""The defaults that have changed from 0.1 to 0.2, and which of them concern a service.

They are named while pyproject.toml still admits 0.1: raised to `lmservice>=0.2`, it says that they are known.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from lmservice.cli.migration import is_default
from lmservice.service import Service
from lmservice.settings.model import Settings
from lmservice.web.starlette import RoutesApp

_REQUIREMENT = re.compile(r"lmservice(?![\w-])\s*(?:\[[^\]]*\])?\s*(?P<versions>[^;\"']*)")
_LEAST = re.compile(r"(?:>=|~=|==|>)\s*(\d+)\.(\d+)")


class ChangedDefault(NamedTuple):
    """One that has changed.

    Attributes:
        settings: the settings that decide it; one that is set, whatever to, is decided.
        text: what it is now, what it was, and how to keep that.
        concerns: whether a service has what it is about.
    """

    settings: tuple[str, ...]
    text: str
    concerns: Callable[[Service, Settings], bool] = lambda _service, _settings: True


CHANGED = (
    ChangedDefault(("keep_alive_timeout",), "LM_KEEP_ALIVE_TIMEOUT is 100 s, and was 75"),
    ChangedDefault(
        ("max_head_size", "max_headers"),
        "a request's head has limits now: LM_MAX_HEAD_SIZE (64 KiB) and LM_MAX_HEADERS (100)",
    ),
    ChangedDefault(("write_timeout",), "LM_WRITE_TIMEOUT is 60 s, and was none: 0 is for ever, as before"),
    ChangedDefault(
        (),
        "Client keeps no cookies (keep_cookies=True does), and makes up to 500 calls to a host at once, where it made "
        "100 (max_connections=100)",
        lambda service, _settings: bool(service.clients),
    ),
    ChangedDefault(
        (),
        "/readyz is 503 until each critical check has been up once",
        lambda service, _settings: any(check.critical for check in service.checks),
    ),
    ChangedDefault(
        (),
        "a failure of the app's lifespan after its start stops the service, with exit code 70",
        lambda service, _settings: not isinstance(service.app, RoutesApp),
    ),
    ChangedDefault(
        (),
        "with LM_WORKERS the program is imported once and the workers are forks; one that starts threads or opens "
        "sockets at its import has workers that import it themselves, as before",
        lambda _service, settings: settings.workers > 1,
    ),
    ChangedDefault(
        ("graphite_tags",),
        "names pushed to Graphite have tags: LM_GRAPHITE_TAGS=false has dotted names, as before",
        lambda _service, settings: bool(settings.graphite_url),
    ),
)
"""In the order of the changelog."""


def changed_defaults(service: Service, settings: Settings) -> list[str]:
    """Return each that concerns the service, where its project may still run on 0.1."""
    if not admits_before((0, 2)):
        return []
    return [f"since 0.2 {change.text}" for change in _concerning(service, settings)]


def _concerning(service: Service, settings: Settings) -> Iterator[ChangedDefault]:
    for change in CHANGED:
        open_ones = [name for name in change.settings if is_default(settings, name)]
        if change.concerns(service, settings) and (open_ones or not change.settings):
            yield change


def admits_before(version: tuple[int, int]) -> bool:
    """Return whether the project's pyproject.toml requires lmservice in a way that takes an older version, too.

    One that keeps the template's version (`template` in `[tool.lmservice]`) was made by 0.2 or later.
    """
    import tomllib  # noqa: PLC0415 - as in `project`

    try:
        document = tomllib.loads(Path("pyproject.toml").read_text())
        requirements = [str(requirement) for requirement in document["project"].get("dependencies", [])]
        is_newer = "template" in document.get("tool", {}).get("lmservice", {})
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False
    versions = [match["versions"] for requirement in requirements if (match := _REQUIREMENT.match(requirement))]
    least = _LEAST.search(versions[0]) if versions else None
    return bool(versions) and not is_newer and (least is None or (int(least[1]), int(least[2])) < version)
