"""Which requests begin, which wait for their turn, and which are refused as more have come than can be served.

Two things can be short. Where it is the event loop's time, a queue stands before the handlers (`queue_limit`); where it
is something that handlers wait for, the queue stands in them, of each route by itself (`route_limit`). A request counts
from when it can begin until its response's head; nothing is limited while neither queue stands.
"""

import asyncio
import math
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

from lmservice.web.parsing import Refusal
from lmservice.web.queue_limit import DEEP, SHALLOW, QueueLimit
from lmservice.web.route_limit import FLOOR, HEADROOM, MOST_SAMPLES, RouteLimit

if TYPE_CHECKING:
    from starlette.types import Scope

    from lmservice.web.cycle import Cycle

LOOK: Final = 0.05
"""Seconds between two looks at the routes, while there is something to see."""
WINDOW: Final = 10.0
"""Over how many seconds it is counted what was refused, for what is in demand."""
NOTICED: Final = 8
"""So many requests under way make it worth a look."""
FIRST, LAST = 0.5, 1.5
"""The shares of what may wait that routes have which are refused first, and last."""
OVERLOADED: Final = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE, "more requests have come than can be served in time: try again later", "overload"
)
_ONE_IN: Final = 8 - 1
"""While little is going on, one answer of so many, but for one, is measured."""
_PARAMETER: Final = re.compile(r"\\{[^}]*\\}")


class RequestUnderWay(Protocol):
    """What is asked of a request that is answered."""

    scope: "Scope"
    began: float
    """When its handler began, in seconds of `time.monotonic`."""
    status: int
    """Of its answer; 0 before it has begun."""


class Loop(Protocol):
    """What is asked of an event loop."""

    def call_soon(self, callback: Callable[[], object]) -> object:
        """Call it in the next turn."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> object:
        """Call it after so many seconds."""


class Templates(Protocol):
    """What finds a request's route."""

    def of(self, scope: "Scope") -> str:
        """Return the template of its route."""


class _NoRoutes:
    def of(self, _scope: "Scope") -> str:
        return ""


_NO_ROUTES: Final = _NoRoutes()


class Admission:
    """The way from a connection to the handlers, of one listener.

    Args:
        adaptive: whether what can be served is measured; else everything begins at once.
        in_flight: the requests that have begun and are not answered wholly.
        templates: finds their routes.
        shed_first: templates of routes that are refused before others.
        shed_last: templates of routes that are refused after others.
        begin: has a request begin in this turn of the loop.
        loop: the running loop.
        clock: in seconds, monotonic.

    Attributes:
        pressed: whether a request has to be looked at before it begins.
        unstarted: how many were let in during this turn of the loop.
        batch: how many may be.
        waiting: those that wait for a later turn, the oldest first.
        turns: counts the turns of the loop while any wait.
        refused: how many have been refused, …
        answered: … and how many answers have begun.
    """

    def __init__(
        self,
        *,
        adaptive: bool,
        in_flight: Collection[RequestUnderWay] = (),
        templates: Templates = _NO_ROUTES,
        shed_first: Iterable[str] = (),
        shed_last: Iterable[str] = (),
        begin: "Callable[[Cycle], None] | None" = None,
        loop: Callable[[], Loop] = asyncio.get_running_loop,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start, self._loop, self._clock = begin or start, loop, clock
        self.adaptive = adaptive
        self.pressed = False
        self.unstarted = self.turns = 0
        self.queue = QueueLimit()
        self.batch: float = self.queue.batch if adaptive else math.inf
        self.waiting: deque[Cycle] = deque()
        self.routes: dict[str, RouteLimit] = {}
        self.refused = self.answered = 0
        self._window_since, self._refused_before, self._answered_before = 0.0, 0, 0
        self._in_flight, self._templates = in_flight, templates
        self._shares = [(pattern(route), FIRST) for route in shed_first] + [
            (pattern(route), LAST) for route in shed_last
        ]
        self._limited: list[tuple[re.Pattern[str], RouteLimit]] = []
        self._turned, self._begun = 0.0, 0
        self._looking: object = None

    # Before a request begins.

    def refuses(self, path: str) -> bool:
        """Return whether a request for this path is to be refused, which is worth asking only while `pressed`."""
        if len(self.waiting) + len(self._in_flight) < FLOOR:
            return False
        share = self._share(path) if self._shares else 1.0
        if self.waiting and len(self.waiting) >= self.queue.allowed(self._clock()) * share:
            return True
        limit = self._limit_of(path) if self._limited else None
        if limit is None or limit.running < limit.limit * share:
            return False
        limit.refused = True
        return True

    def take(self, cycle: "Cycle") -> None:
        """Begin a request, or let it wait; one that is to be refused begins with its refusal."""
        path = cycle.scope["path"]
        if self.pressed and cycle.refusal is None and self.refuses(path):
            cycle.refusal = OVERLOADED
        if cycle.refusal is not None:
            self._start(cycle)
            return
        if self._limited and (limit := self._limit_of(path)) is not None:
            limit.running += 1
        if not self.waiting and self.unstarted < self.batch:
            self.unstarted += 1
            self._start(cycle)
            return
        if not self.waiting:
            self.pressed = True
            self._turned, self._begun = cycle.arrived, self.unstarted
            self._loop().call_soon(self._turn)
        cycle.queued_in = self.turns
        self.waiting.append(cycle)
        if len(self.waiting) == DEEP:
            self.queue.deepen(cycle.arrived)

    def _share(self, path: str) -> float:
        return next((share for route, share in self._shares if route.fullmatch(path)), 1.0)

    def _limit_of(self, path: str) -> RouteLimit | None:
        return next((limit for route, limit in self._limited if route.fullmatch(path)), None)

    def _turn(self) -> None:
        """Begin those that have waited longest, as many as one turn of the loop is for."""
        now = self._clock()
        if self._begun:
            self.queue.learn(now - self._turned, self._begun)
            self.batch = self.queue.batch
        self.turns += 1
        self._turned, self._begun = now, 0
        while self.waiting and self._begun < self.batch:
            cycle = self.waiting.popleft()
            if cycle.abandoned or cycle.lost:
                self._give_up(cycle)
            else:
                self._begun += 1
                self._start(cycle)
        if len(self.waiting) < SHALLOW:
            self.queue.subside()
        if self.waiting:
            self._loop().call_soon(self._turn)
            self.watch()
        else:
            self.pressed = bool(self._limited)

    def _give_up(self, cycle: "Cycle") -> None:
        """Leave a request that nobody waits for any longer."""
        connection = cycle.connection
        connection.listener.cycles.discard(cycle)
        connection.listener.context.copy().run(connection.listener.given_up, cycle.scope, cycle)
        cycle.keep_alive, cycle.complete = False, True
        connection.answered(cycle)

    # What is measured.

    def observe(self, request: RequestUnderWay) -> str:
        """Take note of a request whose answer begins; return its route."""
        route = self._templates.of(request.scope)
        limit = self.routes.get(route)
        if limit is None:
            limit = self.routes[route] = RouteLimit(request.began)
        limit.answered += 1
        limit.running -= 1
        self.answered += 1
        if request.status < HTTPStatus.BAD_REQUEST and (self._looking is not None or limit.answered & _ONE_IN == 1):
            if len(limit.samples) < MOST_SAMPLES:
                limit.samples.append(self._clock() - request.began)
            elif self._looking is None:
                limit.look(self._clock(), 0)
        return route

    def report(self) -> dict[str, object]:
        """Return where the queue stands, for people: the limit, what waits, and the routes that are limited."""
        return {
            "limit": self.limit,
            "waiting": len(self.waiting),
            "in_flight": len(self._in_flight),
            "seconds": round(self.queue.cost, 6),
            "limited_by": self.limited_by,
        }

    @property
    def limited_by(self) -> list[str]:
        """Return what is short just now: `the event loop`, and routes whose answers come late."""
        routes = [route for route, limit in list(self.routes.items()) if not math.isinf(limit.limit)]
        return [*(["the event loop"] if self.queue.is_standing(self._clock()) else []), *routes]

    @property
    def limit(self) -> int:
        """Return how many requests are handled at once before more are refused, as far as it is known by now."""
        now = self._clock()
        handled = sum(
            limit.worked_on if math.isinf(limit.limit) else limit.limit for limit in list(self.routes.values())
        )
        return max(FLOOR, math.ceil(handled) + (self.queue.allowed(now) if self.waiting else HEADROOM))

    @property
    def demand(self) -> float:
        """Return how many requests wait, and how many more would be under way had none been refused lately."""
        passed = self._clock() - self._window_since
        refused = self.refused - self._refused_before
        answered = self.answered - self._answered_before
        if passed > 2 * WINDOW or not answered:
            return float(len(self.waiting))
        under_way = len(self.waiting) + len(self._in_flight)
        return len(self.waiting) + under_way * refused / answered

    def watch(self) -> None:
        """Begin to look at the routes every tenth of a second, as many requests are under way."""
        if self._looking is None and self.adaptive:
            self._looking = self._loop().call_later(LOOK, self._look)

    def _look(self) -> None:
        now = self._clock()
        if now - self._window_since > WINDOW:
            self._window_since, self._refused_before, self._answered_before = now, self.refused, self.answered
        of = self._templates.of
        running = Counter(of(request.scope) for request in list(self._in_flight) if not request.status)
        self._limited = []
        for route, limit in self.routes.items():
            limit.look(now, running[route])
            if limit.limit != math.inf:
                self._limited.append((pattern(route), limit))
        self.pressed = bool(self._limited or self.waiting)
        self._looking = None
        if self.pressed or len(self._in_flight) >= NOTICED:
            self.watch()


def start(cycle: "Cycle") -> None:
    """Have a request's task run from the listener's context in the next turn of the loop."""
    listener = cycle.connection.listener
    cycle.task = asyncio.Task(cycle.run(), loop=listener.loop, name="request", context=listener.context.copy())


def pattern(template: str) -> re.Pattern[str]:
    """Return what a route's template matches: the last parameter also several segments."""
    quoted = _PARAMETER.sub("[^/]+", re.escape(template))
    return re.compile(quoted.removesuffix("[^/]+") + ".+" if quoted.endswith("[^/]+") else quoted)
