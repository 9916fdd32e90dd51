"""What running an ASGI app as a service changes for it: the part of docs/how-to/migrate.md that can be seen in the app.

Each change is a note, which fails nothing; a limit that somebody has set, whatever to, is not named again. An app that
never ran without lmservice (`routes=`) has nothing that changes.
"""

import ast
import importlib.util
import logging
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings

from lmservice.service import Service
from lmservice.settings.model import Settings, origin
from lmservice.telemetry.frames import owner, shown
from lmservice.web.routes import routes_of, template_of
from lmservice.web.starlette import RoutesApp
from lmservice.web.websockets import LIBRARIES

_BODIES = frozenset(("POST", "PUT", "PATCH"))
_MACHINES = re.compile(
    r"LM_.*|PYTHON.*|XDG_.*|LC_.*|KUBERNETES_.*|PATH|HOME|USER|SHELL|TERM|LANG|TZ|TMPDIR|PWD|HOSTNAME|CI"
)

"""Variables that are the machine's or lmservice's, not the app's."""
_SHOWN = 3
_MOST_FILES = 2000


def missing_websockets(service: Service) -> list[str]:
    """Return the routes for WebSockets that nobody can reach, as no library for them is installed."""
    if any(importlib.util.find_spec(name) is not None for name in LIBRARIES):
        return []
    paths = [path for methods, path in _routes(service.app, "") if not methods]
    hint = "no library for WebSockets is installed, so that it is answered 404: pip install 'lmservice[websockets]'"
    return [f"{path}: {hint}" for path in paths]


def changes(service: Service, settings: Settings | None) -> list[str]:
    """Return what changes for an app that ran by another server before.

    Args:
        service: the service.
        settings: as loaded; None where they cannot be.
    """
    if isinstance(service.app, RoutesApp):
        return []
    limits = _limits(service, settings) if settings is not None else ()
    return [*limits, *_logging(), *_tests(service), *_variables(), *_foreign_settings()]


def is_default(settings: Settings, name: str) -> bool:
    """Return whether a setting is at lmservice's default: neither set, nor changed by the service's own class."""
    own = type(settings).model_fields[name].default
    return origin(settings, name) == "default" and own == Settings.model_fields[name].default


def _limits(service: Service, settings: Settings) -> Iterator[str]:
    uploads = [f"{method} {path}" for methods, path in _routes(service.app, "") for method in sorted(methods & _BODIES)]
    if uploads and is_default(settings, "max_body_size"):
        size = settings.max_body_size.human_readable()
        yield f"LM_MAX_BODY_SIZE: a larger body than {size} is answered 413 ({_listed(uploads)}): set what is right"
    if is_default(settings, "request_timeout"):
        seconds = f"{settings.request_timeout:g} s"
        yield f"LM_REQUEST_TIMEOUT: what has not begun to answer after {seconds} is answered 504: set what is right"


def _routes(app: Any, above: str) -> Iterator[tuple[frozenset[str], str]]:
    """Give the methods of each route, none for a WebSocket's, with its path; not those of mounts without routes."""
    for route in routes_of(app):
        below = list(_routes(route, above + str(getattr(route, "path", "")).rstrip("/")))
        kind = type(route).__name__.lower()
        methods = frozenset(getattr(route, "methods", None) or ())
        if below:
            yield from below
        elif methods or "websocket" in kind:
            yield methods, above + (template_of(route) or "/")


def _logging() -> Iterator[str]:
    handlers = sorted({type(handler).__name__ for handler in logging.getLogger().handlers if _is_own(handler)})
    if handlers:
        hint = "every line is JSON, on a terminal text; levels of single loggers stay, LM_LOG_LEVEL is the root's"
        yield f"the root logger's {_listed(handlers)} is replaced while the service runs: {hint}"


def _is_own(handler: logging.Handler) -> bool:
    return not type(handler).__module__.startswith(("_pytest", "lmservice"))


def _tests(service: Service) -> Iterator[str]:
    files = [path for path in _test_files() if re.search(r"\bTestClient\(", path.read_text("utf-8", "replace"))]
    if files:
        what = "what a TestClient of the app does not run" if service.jobs else "what start-up jobs make"
        names = _listed([str(path) for path in files])
        yield f"{names}: `with TestClient(service)` has {what}; neither has ports or a drain: lmservice.testing.running"


def _test_files() -> Iterator[Path]:
    places = [path for folder in ("tests", "test") for path in Path(folder).rglob("*.py")]
    return (path for path in sorted({*places[:_MOST_FILES], *Path().glob("test_*.py")}) if path.is_file())


def _variables() -> Iterator[str]:
    read: dict[str, str] = {}
    for file in _own_files():
        try:
            tree = ast.parse(file.read_text("utf-8"))
        except (OSError, ValueError, SyntaxError):
            continue
        for name, line in _reads(tree):
            if not _MACHINES.fullmatch(name):
                read.setdefault(name, f"{shown(str(file))}:{line}")
    for name, where in read.items():
        hint = f"in Settings it becomes LM_{name}, or keeps its name by Field(validation_alias={name!r})"
        yield f"{name}: {where} reads it from the environment; {hint}"


def _reads(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Give what code reads by `os.environ[...]`, `os.environ.get(...)` and `os.getenv(...)`, with its lines."""
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=source, slice=ast.Constant(value=str(name)), ctx=ast.Load()):
                if _called(source) == "environ":
                    yield name, node.lineno
            case ast.Call(func=ast.Attribute(value=source, attr="get"), args=[ast.Constant(value=str(name)), *_]):
                if _called(source) == "environ":
                    yield name, node.lineno
            case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]):
                if _called(function) == "getenv":
                    yield name, node.lineno


def _called(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _foreign_settings() -> Iterator[str]:
    for module in _own_modules():
        for value in list(vars(module).values()):
            is_class = isinstance(value, type) and issubclass(value, BaseSettings) and value is not BaseSettings
            if is_class and not issubclass(value, Settings) and value.__module__ == module.__name__:
                prefix = value.model_config.get("env_prefix", "")
                names = _listed([f"{prefix}{name}".upper() for name in value.model_fields])
                hint = "as lmservice.Settings they begin with LM_, or keep their names by Field(validation_alias=...)"
                yield f"{value.__name__} of {module.__name__} reads {names}: {hint}"


def _own_modules() -> list[Any]:
    here = f"{Path.cwd()}/"
    return [module for module in list(sys.modules.values()) if _is_ours(getattr(module, "__file__", None), here)]


def _is_ours(file: object, here: str) -> bool:
    return isinstance(file, str) and file.startswith(here) and not owner(file)


def _own_files() -> Iterable[Path]:
    return dict.fromkeys(Path(module.__file__) for module in _own_modules() if module.__file__.endswith(".py"))


def _listed(names: Iterable[str]) -> str:
    words = list(dict.fromkeys(names))
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more
