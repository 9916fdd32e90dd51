"""The template of the route that answered a request: `/hello/{name}`, never the raw path.

Read from what the router leaves in the scope, with the templates of the mounts above it: starlette and FastAPI leave
the `route`, Litestar a `path_template`. Parameters are named without their type, whatever the framework:
`{number:int}` is `{number}`. An app without routes that is mounted is one route, its mount's. What no route matched is
`none`; past 200 distinct templates the rest is `_OTHER`, so that no label grows without bound.
"""

import contextlib
from collections.abc import Iterable, Iterator, MutableMapping
from functools import cached_property
from typing import Any, Final

from lmservice.telemetry.labels import OTHER, Label

DEEPEST: Final = 50
"""The most layers of middleware that are looked through for an app's routes."""

NONE: Final = "none"


class RouteTemplates:
    """Finds and remembers the templates of one app's routes."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._direct: dict[int, str] = {}
        self._known: dict[tuple[str, str], str] = {}
        self._label = Label("http_route", "routes")

    def of(self, scope: MutableMapping[str, Any]) -> str:
        """Return the template of a request that the app has routed."""
        route = id(scope.get("route"))
        direct = self._direct.get(route)
        top = not (root := scope.get("root_path")) or root == scope.get("app_root_path")
        if direct is not None and top:
            return direct
        template = self._look_up(scope)
        if route in self._top and top:
            self._direct[route] = template
        return template

    @cached_property
    def _top(self) -> frozenset[int]:
        """Return the ids of the app's own routes, which stay theirs: those below a mount may be below another too."""
        return frozenset(id(route) for route in routes_of(self._app) if hasattr(route, "endpoint"))

    def _look_up(self, scope: MutableMapping[str, Any]) -> str:
        own = self._own(scope)
        if own is None:
            return NONE
        mounted = scope.get("root_path", "").removeprefix(scope.get("app_root_path", ""))
        key = own, self._mount(mounted) if mounted else ""
        template = self._known.get(key)
        if template is None:
            template = self._label.value(f"{key[1]}{own}" or "/")
            if template != OTHER:  # what is folded is not remembered: there may be no end of it
                self._known[key] = template
        return template

    def _own(self, scope: MutableMapping[str, Any]) -> str | None:
        """Return the template within the router that matched; None where none of its routes did."""
        route = scope.get("route")
        if "litestar_app" in scope:
            return _litestars(scope)
        if route is None or hasattr(route, "routes"):
            return self._left_out.get(id(scope.get("endpoint")))
        included = scope.get("fastapi", {}).get("effective_route_context")  # has the prefixes of include_router
        return template_of(route) if included is None else template_of(included)

    @cached_property
    def _left_out(self) -> dict[int, str]:
        """Return what is no route in the scope, by its endpoint's id: FastAPI's pages, mounted apps without routes."""
        return {id(endpoint): template for endpoint, template in _endpoints(routes_of(self._app))}

    def _mount(self, path: str) -> str:
        """Return the template of the mount under which a path is."""
        parts = path.split("/")
        return next((mount for mount in self._mounts if _fits(mount.split("/"), parts)), "")

    @cached_property
    def _mounts(self) -> list[str]:
        return list(_mounts(routes_of(self._app), ""))


def routes_of(app: Any) -> Iterable[Any]:
    """Return the routes of an app or a mount, or of the app inside, as middleware keeps it."""
    for _ in range(DEEPEST):
        if routes := getattr(app, "routes", None):
            return list(routes)
        app = getattr(app, "app", None)
    return ()


def _litestars(scope: MutableMapping[str, Any]) -> str | None:
    """Return the template of a Litestar's route."""
    if template := scope.get("path_template"):
        return str(template)
    app, handler = scope["litestar_app"], scope.get("route_handler")
    if handler is not None:  # another app, mounted in it
        return next((route.path_format for route in app.routes if getattr(route, "route_handler", 0) is handler), None)
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    with contextlib.suppress(Exception):  # a 404; else a 405, as every route takes OPTIONS
        *_, template = app.asgi_router.handle_routing(path="/" + path.strip("/"), method="OPTIONS")
        return str(template)
    return None


def template_of(route: Any) -> str | None:
    """Return a route's own template; starlette's has a `path_format`, without the converters' names."""
    for name in ("path_format", "path"):
        path = getattr(route, name, None)
        if isinstance(path, str):
            return path
    return None


def _endpoints(routes: Iterable[Any]) -> Iterator[tuple[Any, str]]:
    """Yield each endpoint with its template within its router, the outermost last; an app without routes is one too."""
    for route in reversed(list(routes)):
        if not hasattr(route, "routes"):
            yield getattr(route, "endpoint", route), template_of(route) or ""
        elif below := routes_of(route):
            yield from _endpoints(below)
        else:
            yield route.app, ""


def _mounts(routes: Iterable[Any], prefix: str) -> Iterator[str]:
    """Yield the full template of every mount, the deeper ones first."""
    for route in routes:
        if getattr(route, "app", None) is not None and hasattr(route, "routes"):
            below = prefix + (template_of(route) or "").removesuffix("/{path}")
            yield from _mounts(routes_of(route), below)
            if below:
                yield below


def _fits(template: list[str], path: list[str]) -> bool:
    return len(template) == len(path) and all(
        part.startswith("{") or part == actual for part, actual in zip(template, path, strict=True)
    )
