"""The template of the route that answered a request: `/hello/{name}`, never the raw path.

Read from what the router leaves in the scope (`route`), with the templates of the mounts above it. What no route
matched is `none`; past `LIMIT` distinct templates the rest is `_OTHER`, so that no label grows without bound.
"""

import logging
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any

LIMIT = 200
NONE = "none"
OTHER = "_OTHER"

_log = logging.getLogger("lmservice.routes")


class RouteTemplates:
    """Finds and remembers the templates of one app's routes."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._known: dict[int, tuple[Any, list[str]]] = {}  # holds the route too, so that its id stays its own
        self._names: set[str] = set()

    def of(self, scope: MutableMapping[str, Any]) -> str:
        """The template of a request that the app has routed."""
        route = scope.get("route")
        if route is None:
            return NONE
        known = self._known.get(id(route))
        if known is None:
            known = self._known[id(route)] = route, self._candidates(route)
        candidates = known[1]
        return candidates[0] if len(candidates) == 1 else self._nearest(candidates, scope)

    def _candidates(self, route: Any) -> list[str]:
        """The full templates of a route: several where an app is mounted more than once."""
        if getattr(route, "routes", None):  # a mount of routes of which none matched
            return [NONE]
        own = _template(route)
        if own is None:
            return [NONE]
        prefixes = [prefix for prefix, each in _walk(getattr(self._app, "routes", ()), "") if each is route]
        return [self._bounded(f"{prefix}{own}" or "/") for prefix in dict.fromkeys(prefixes or [""])]

    def _nearest(self, candidates: list[str], scope: MutableMapping[str, Any]) -> str:
        parts = scope["path"].split("/")
        return next((each for each in candidates if _fits(each.split("/"), parts)), candidates[0])

    def _bounded(self, template: str) -> str:
        if template in self._names or len(self._names) < LIMIT:
            self._names.add(template)
            return template
        if OTHER not in self._names:
            self._names.add(OTHER)
            _log.warning("more than %d routes: the label http_route folds the rest into %s", LIMIT, OTHER)
        return OTHER


def _template(route: Any) -> str | None:
    """A route's own template; starlette's has a `path_format`, without the converters' names."""
    for name in ("path_format", "path"):
        path = getattr(route, name, None)
        if isinstance(path, str):
            return path
    return None


def _walk(routes: Iterable[Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Every route below, with the templates of the mounts above it joined."""
    for route in routes:
        yield prefix, route
        if inner := getattr(route, "routes", None):
            above = (_template(route) or "").removesuffix("/{path}")
            yield from _walk(inner, prefix + above)


def _fits(template: list[str], path: list[str]) -> bool:
    return len(template) <= len(path) and all(
        part.startswith("{") or part == actual for part, actual in zip(template, path, strict=False)
    )
