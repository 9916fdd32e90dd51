"""An event loop in virtual time that serves requests: what computes takes its time, what waits does not.

Requests come into the sockets; a turn of the loop reads all that have come, then runs what is ready, as uvloop does.
The limits decide by their own code.
"""

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from lmservice.web.admission import Admission

PARSING, REFUSING = 0.00003, 0.00001
"""What a request costs beside its handler, and what a refusal does, in seconds."""


class Dependency:
    """Serves so many at once, each in so many seconds; the others wait."""

    def __init__(self, at_once: int, seconds: float) -> None:
        self.at_once, self.seconds = at_once, seconds
        self.busy = 0
        self.queue: deque[Any] = deque()


class Answers:
    """What became of the requests of one route.

    Attributes:
        latencies: of each that was answered, by when it was, in seconds since it came.
        refused_at: when each that was refused came.
    """

    def __init__(self) -> None:
        self.offered = 0
        self.latencies: list[tuple[float, float]] = []
        self.refused_at: list[float] = []

    def useful(self, begin: float, end: float, within: float = 0.5) -> float:
        """Return how many answers a second came in time in a part of the run."""
        return sum(1 for at, latency in self.latencies if begin <= at < end and latency <= within) / (end - begin)

    def quantile(self, share: float, begin: float) -> float:
        """Return what so large a share of the answers took at most, from a time on."""
        ordered = sorted(latency for at, latency in self.latencies if at >= begin)
        return ordered[int(share * (len(ordered) - 1))] if ordered else 0.0

    def refused(self, begin: float, end: float = float("inf")) -> int:
        """Return how many were refused in a part of the run."""
        return sum(1 for at in self.refused_at if begin <= at < end)


class Simulation:
    """One service under a load.

    Args:
        seed: of the random arrivals.
        settings: of the `Admission`.
    """

    def __init__(self, seed: int = 1, **settings: Any) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.in_flight: set[Any] = set()
        self.answers: dict[str, Answers] = {}
        self._arrivals: list[tuple[float, int, str]] = []
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._ready: deque[Callable[[], object]] = deque()
        self._numbers = itertools.count()
        self._handlers: dict[str, tuple[float, Dependency | None]] = {}
        self.admission = Admission(
            adaptive=True,
            in_flight=self.in_flight,
            templates=self,
            begin=self._begin,
            loop=lambda: self,
            clock=lambda: self.now,
            **settings,
        )
        self.admission.gone = Counter()  # type: ignore[attr-defined]

    # What the admission asks of a loop, and of the routes.

    def call_soon(self, callback: Callable[[], object]) -> object:
        self._ready.append(callback)
        return callback

    def call_later(self, delay: float, callback: Callable[[], object]) -> object:
        heapq.heappush(self._timers, (self.now + delay, next(self._numbers), callback))
        return callback

    def of(self, scope: Any) -> str:
        path: str = scope["path"]
        return path

    # What a test says.

    def route(self, path: str, computing: float, dependency: Dependency | None = None) -> Answers:
        """Add a route whose handler computes for so many seconds, then asks a dependency."""
        self._handlers[path] = computing, dependency
        self.answers[path] = Answers()
        return self.answers[path]

    def load(self, path: str, rate: float, begin: float, end: float) -> None:
        """Have requests come at random, so many a second on average."""
        at = begin
        while (at := at + self.random.expovariate(rate)) < end:
            heapq.heappush(self._arrivals, (at, next(self._numbers), path))

    def burst(self, path: str, count: int, at: float) -> None:
        """Have many come at once."""
        for _ in range(count):
            heapq.heappush(self._arrivals, (at, next(self._numbers), path))

    def at(self, when: float, callback: Callable[[], object]) -> None:
        """Have something happen."""
        self.call_later(when - self.now, callback)

    def run(self, until: float) -> None:
        """Go on until then."""
        while self.now < until:
            while self._timers and self._timers[0][0] <= self.now:
                self._ready.append(heapq.heappop(self._timers)[2])
            while self._arrivals and self._arrivals[0][0] <= self.now:
                at, _, path = heapq.heappop(self._arrivals)
                self._arrive(path, at)
            if not self._ready:
                upcoming = [events[0][0] for events in (self._timers, self._arrivals) if events]
                self.now = max(self.now, min([until, *upcoming]))
                continue
            for _ in range(len(self._ready)):
                self._ready.popleft()()

    def _arrive(self, path: str, at: float) -> None:
        answers, admission = self.answers[path], self.admission
        answers.offered += 1
        if admission.pressed and admission.refuses(path):
            self.now += REFUSING
            answers.refused_at.append(at)
            return
        self.now += PARSING
        cycle: Any = SimpleNamespace(
            scope={"path": path},
            refusal=None,
            arrived=self.now,
            lost=False,
            abandoned=False,
            came=at,
            status=0,
            began=0.0,
        )
        if admission.pressed or admission.unstarted >= admission.batch:
            admission.take(cycle)
        else:
            admission.unstarted += 1
            self._begin(cycle)

    def _begin(self, cycle: Any) -> None:
        if cycle.refusal is not None:
            self.answers[cycle.scope["path"]].refused_at.append(cycle.came)
            return
        self._ready.append(lambda: self._handle(cycle))

    def _handle(self, cycle: Any) -> None:
        self.admission.unstarted = 0
        request = SimpleNamespace(scope=cycle.scope, began=self.now, status=0, came=cycle.came)
        if len(self.in_flight) >= 8:
            self.admission.watch()
        key = id(request)
        self.in_flight.add(_Hashable(request, key))
        computing, dependency = self._handlers[cycle.scope["path"]]
        self.now += computing
        if dependency is None:
            self._answer(request, key)
        else:
            dependency.queue.append((request, key))
            self._serve(dependency)

    def _serve(self, dependency: Dependency) -> None:
        while dependency.queue and dependency.busy < dependency.at_once:
            request, key = dependency.queue.popleft()
            dependency.busy += 1

            def served(request: Any = request, key: int = key) -> None:
                dependency.busy -= 1
                self._answer(request, key)
                self._serve(dependency)

            self.call_later(dependency.seconds, served)

    def _answer(self, request: Any, key: int) -> None:
        request.status = 200
        self.admission.observe(request)
        self.in_flight.discard(_Hashable(request, key))
        self.answers[request.scope["path"]].latencies.append((self.now, self.now - request.came))


class _Hashable:
    """A request in a set."""

    def __init__(self, request: Any, key: int) -> None:
        self.request, self.key = request, key

    def __hash__(self) -> int:
        return self.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashable) and other.key == self.key

    def __getattr__(self, name: str) -> Any:
        return getattr(self.request, name)
