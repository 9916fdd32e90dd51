"""The template of the route that answered a request: `/hello/{name}`, never the raw path.

Read from what the router leaves in the scope (`route`), with the templates of the mounts above it. What no route
matched is `none`; past 200 distinct templates the rest is `_OTHER`, so that no label grows without bound.
"""

from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any

from lmservice.labels import OTHER, Label

NONE = "none"


class RouteTemplates:
    """Finds and remembers the templates of one app's routes."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._known: dict[tuple[str, str], str] = {}
        self._mounts: list[str] | None = None
        self._label = Label("http_route", "routes")

    def of(self, scope: MutableMapping[str, Any]) -> str:
        """The template of a request that the app has routed."""
        route = scope.get("route")
        own = self._by_endpoint(scope.get("endpoint")) if route is None else _own(route, scope)
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

    def _by_endpoint(self, endpoint: object) -> str | None:
        """The template of a route that the router has not left in the scope, as FastAPI's own pages."""
        routes = getattr(self._app, "routes", ()) if endpoint is not None else ()
        return next((_template(route) for route in routes if getattr(route, "endpoint", None) is endpoint), None)

    def _mount(self, path: str) -> str:
        """The template of the mount under which a path is."""
        if self._mounts is None:
            self._mounts = list(_mounts(getattr(self._app, "routes", ()), ""))
        parts = path.split("/")
        return next((mount for mount in self._mounts if _fits(mount.split("/"), parts)), "")


def _own(route: Any, scope: MutableMapping[str, Any]) -> str | None:
    """The template within the router that matched; None for a mount none of whose routes did."""
    if getattr(route, "routes", None):
        return None
    included = scope.get("fastapi", {}).get("effective_route_context")  # has the prefixes of include_router
    return _template(route) if included is None else _template(included)


def _template(route: Any) -> str | None:
    """A route's own template; starlette's has a `path_format`, without the converters' names."""
    for name in ("path_format", "path"):
        path = getattr(route, name, None)
        if isinstance(path, str):
            return path
    return None


def _mounts(routes: Iterable[Any], prefix: str) -> Iterator[str]:
    """The full template of every mount, the deeper ones first."""
    for route in routes:
        if getattr(route, "app", None) is not None and hasattr(route, "routes"):
            below = prefix + (_template(route) or "").removesuffix("/{path}")
            yield from _mounts(route.routes or (), below)
            if below:
                yield below


def _fits(template: list[str], path: list[str]) -> bool:
    return len(template) == len(path) and all(
        part.startswith("{") or part == actual for part, actual in zip(template, path, strict=True)
    )
