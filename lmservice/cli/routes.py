"""`lmservice routes`: what a service answers, a line for each route."""

from collections.abc import Iterator
from typing import Any

from lmservice.errors import ExitCode
from lmservice.service import Service
from lmservice.web.routes import routes_of, template_of


def show(service: Service) -> ExitCode:
    """Print method, path and endpoint of each route, those of mounted apps with their mount's path."""
    rows = list(_rows(service.app, ""))
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for methods, path, endpoint in rows:
        print(f"{methods:{widths[0]}}  {path:{widths[1]}}  {endpoint}".rstrip())  # noqa: T201 - the command's output
    if not rows:
        print(f"{service.name} has no routes that can be listed")  # noqa: T201
    return ExitCode.CLEAN


def _rows(app: Any, above: str) -> Iterator[tuple[str, str, str]]:
    for route in routes_of(app):
        mounted = above + str(getattr(route, "path", "")).rstrip("/")  # a mount's template has what comes below it, too
        if inner := list(_rows(route, mounted)):
            yield from inner
        else:
            yield _methods(route), above + (template_of(route) or "") or "/", _endpoint(route)


def _methods(route: Any) -> str:
    methods = sorted(getattr(route, "methods", None) or ())
    if "GET" in methods:
        methods = [method for method in methods if method != "HEAD"]
    kind = type(route).__name__.lower()
    return ",".join(methods) or ("WS" if "websocket" in kind else "*")


def _endpoint(route: Any) -> str:
    endpoint = getattr(route, "endpoint", None) or getattr(route, "route_handler", None) or getattr(route, "app", None)
    name = getattr(endpoint, "__qualname__", None) or getattr(route, "name", None) or type(endpoint).__name__
    module = getattr(endpoint, "__module__", "")
    return f"{module}.{name}" if module else str(name)
