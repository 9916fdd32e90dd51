"""An index of starlette's routes, by which a request finds its own among hundreds without a look at each.

starlette tries its routes one by one, in their order, and the first that matches wins. The index answers the same, as
it only leaves out those that cannot match: each route is a bit of a number; at each place of a path the segment there
rules bits out; what is left is tried in starlette's order, by starlette's own `matches`. Whatever matches no route
wholly (404, 405, a slash too many) is starlette's to answer.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeGuard

from starlette._utils import get_route_path
from starlette.routing import PARAM_REGEX, BaseRoute, Match, Mount, Route, Router, WebSocketRoute, compile_path
from starlette.types import Receive, Scope, Send

from lmservice.web.endpoint import Endpoint, endpoint_of

FEW: Final = 4
"""The most routes that are tried one by one, as that costs less."""
REMEMBERED: Final = 1024
"""So many sets of candidates are kept."""

_ONE_SEGMENT: Final = frozenset(
    (
        "[^/]+",
        "[0-9]+",
        r"[0-9]+(\.[0-9]+)?",
        "[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}",
    )
)
"""The patterns of starlette's convertors that never reach over a slash."""


class IndexedRouter:
    """Does what `router` does, with an index of its routes and of those that are mounted in it.

    Args:
        router: starlette's own.
        direct: whether nothing lies between it and lmservice's own layer, which then knows whether an answer has begun.
    """

    def __init__(self, router: Router, *, direct: bool) -> None:
        self._router = router
        self._index = RouteIndex(())
        self._mounted: dict[int, IndexedRouter] = {}
        self._direct = direct
        self._endpoints: list[Endpoint | None] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request or a WebSocket to the route that starlette would choose; everything else to starlette."""
        if scope["type"] == "lifespan":
            await self._router(scope, receive, send)
            return
        chosen = self.choose(scope)
        if isinstance(chosen, Endpoint):
            await chosen.answer(scope, receive, send)
        else:
            await self.handle(chosen, scope, receive, send)

    def choose(self, scope: Scope) -> Endpoint | BaseRoute | None:
        """Return what starlette would choose for a request or a WebSocket, or None, and put that into its scope."""
        router = self._router
        if "router" not in scope:
            scope["router"] = router
        routes, index = router.routes, self._index
        if index.routes != routes:  # which looks at the same objects first, and so costs little
            index = self._index = RouteIndex(routes)
            self._endpoints = [endpoint_of(route) if self._direct else None for route in routes]
        path = get_route_path(scope) if scope.get("root_path") else scope["path"]
        for position in index.positions(path):
            route, endpoint = routes[position], self._endpoints[position]
            if endpoint is not None and endpoint.is_of(route) and scope["type"] == "http":
                if endpoint.matches(path, scope):
                    return endpoint
                continue
            match, child_scope = route.matches(scope)
            if match is Match.FULL:
                scope["route"] = route
                scope.update(child_scope)
                return route
        return None

    async def handle(self, route: BaseRoute | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a route that was chosen answer; starlette where none was."""
        if route is None:
            await self._router(scope, receive, send)
        elif type(route) is Mount and is_plain(route.app):
            inner = self._mounted.get(id(route))
            if inner is None or inner._router is not route.app:  # noqa: SLF001 - its own class
                inner = self._mounted[id(route)] = IndexedRouter(route.app, direct=self._direct)
            await inner(scope, receive, send)
        else:
            await route.handle(scope, receive, send)


def is_plain(app: object) -> TypeGuard[Router]:
    """Return whether an app is starlette's own router, with nothing around its routes."""
    return type(app) is Router and app.middleware_stack == app.app


class RouteIndex:
    """Says which of some routes a path could be for.

    Attributes:
        routes: those that are indexed, in their order.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self.routes = list(routes)
        self._all = tuple(range(len(self.routes)))
        self._few = len(self.routes) <= FEW
        shapes = [_shape(route) for route in self.routes]
        self._deepest = max((len(shape.segments) for shape in shapes if shape), default=0)
        self._at = [self._place(shapes, place) for place in range(self._deepest)]
        self._of_length = [self._length(shapes, length) for length in range(self._deepest + 2)]
        self._known: dict[int, tuple[int, ...]] = {}

    def positions(self, path: str) -> tuple[int, ...]:
        """Return the positions of all routes that could match a path, in their order; few of them do not."""
        if self._few or path.endswith("\n"):  # `$` of a pattern matches before a newline
            return self._all
        segments = path.split("/", self._deepest)
        left = self._of_length[len(segments)]
        for (by_segment, others), segment in zip(self._at, segments, strict=False):
            left &= by_segment.get(segment, others)
        positions = self._known.get(left)
        if positions is None:
            positions = tuple(position for position in self._all if left >> position & 1)
            if len(self._known) < REMEMBERED:
                self._known[left] = positions
        return positions

    @staticmethod
    def _place(shapes: Sequence["_Shape | None"], place: int) -> tuple[dict[str, int], int]:
        """Return at one place of a path the routes that each segment leaves, and those that any other leaves."""
        any_segment = 0
        literal: dict[str, int] = {}
        for position, shape in enumerate(shapes):
            segment = shape.segments[place] if shape and place < len(shape.segments) else None
            if segment is None:
                any_segment |= 1 << position
            else:
                literal[segment] = literal.get(segment, 0) | 1 << position
        return {segment: routes | any_segment for segment, routes in literal.items()}, any_segment

    def _length(self, shapes: Sequence["_Shape | None"], length: int) -> int:
        """Return the routes that paths of so many segments may be for; the last length means any longer."""
        left = 0
        for position, shape in enumerate(shapes):
            if shape is None or (length >= len(shape.segments) if shape.open else length == len(shape.segments)):
                left |= 1 << position
        return left


class _Shape(NamedTuple):
    """A route's path: its segments, None where any may stand, and whether further ones may follow."""

    segments: tuple[str | None, ...]
    open: bool


def _shape(route: BaseRoute) -> _Shape | None:
    """Return the shape of what one of starlette's own routes matches; None where it cannot be told."""
    if not isinstance(route, Route | WebSocketRoute | Mount) or type(route) not in (Route, WebSocketRoute, Mount):
        return None  # who knows what it matches
    path = f"{route.path}/{{path:path}}" if isinstance(route, Mount) else route.path
    if compile_path(path)[0].pattern != route.path_regex.pattern:
        return None  # somebody has changed it
    segments: list[str | None] = []
    for segment in path.split("/"):
        parameters = [match[1] for match in PARAM_REGEX.finditer(segment)]
        if not {route.param_convertors[name].regex for name in parameters} <= _ONE_SEGMENT:
            return _Shape((*segments, None), open=True)
        segments.append(None if parameters else segment)
    return _Shape(tuple(segments), open=False)
