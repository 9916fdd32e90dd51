"""Rates and quantiles of the last few seconds, by differences of what a histogram has counted since the start.

So a request pays for nothing but its histogram, whether somebody watches or not. Quantiles are interpolated within a
bucket, as PromQL's `histogram_quantile` does.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, TypeAlias

from lmservice.telemetry.metrics import BUCKETS, Durations

WINDOW = 5.0
"""The time that counts as now, in seconds."""
MOST_ROUTES = 40
"""The number of routes that are told apart, those with the most requests first."""
_SERVER_ERROR = 500

Counts: TypeAlias = tuple[int, ...]


class Tally(NamedTuple):
    """What one route has answered: how many by bucket, and how many of them with a 5xx."""

    counts: Counts
    failed: int

    def plus(self, other: "Tally") -> "Tally":
        """Return both together."""
        return Tally(tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)), self.failed + other.failed)

    def minus(self, before: "Tally") -> "Tally":
        """Return what has come since `before`."""
        return Tally(tuple(a - b for a, b in zip(self.counts, before.counts, strict=True)), self.failed - before.failed)


Route: TypeAlias = tuple[str, str]
NOTHING = Tally((0,) * (len(BUCKETS) + 1), 0)


class Traffic:
    """Looks at a histogram of requests once a second or so.

    Args:
        durations: by method, route and status.
        clock: seconds that only grow.
    """

    def __init__(self, durations: Durations, clock: Callable[[], float]) -> None:
        self._durations = durations
        self._clock = clock
        self._looks: deque[tuple[float, dict[Route, Tally]]] = deque()

    def begin(self) -> None:
        """Forget what was seen before; the present is where differences begin."""
        self._looks.clear()
        self._looks.append((self._clock(), self._tallies()))

    def report(self) -> dict[str, Any]:
        """Return requests a second, the share of 5xx, p50 and p99 in seconds: of all, and by route, the busiest first.

        What they are drawn from, the answers by bucket, is there as `counts`, for whoever makes one of several reports.
        """
        now, tallies = self._clock(), self._tallies()
        while len(self._looks) > 1 and self._looks[1][0] <= now - WINDOW:
            self._looks.popleft()
        before_at, before = self._looks[0]
        self._looks.append((now, tallies))
        seconds = max(now - before_at, 1e-3)
        routes = [
            {"method": method, "route": route, **_figures(tally.minus(before.get((method, route), NOTHING)), seconds)}
            | {"served": sum(tally.counts), "failed": tally.failed}
            for (method, route), tally in tallies.items()
        ]
        routes.sort(key=lambda route: (-route["rate"], -route["served"]))
        all_now, all_before = _sum(tallies), _sum(before)
        total = {**_figures(all_now.minus(all_before), seconds), "served": sum(all_now.counts)}
        return {"all": {**total, "failed": all_now.failed}, "routes": routes[:MOST_ROUTES]}

    def _tallies(self) -> dict[Route, Tally]:
        tallies: dict[Route, Tally] = {}
        for (method, route, status), counts in self._durations.counts():
            tally = Tally(counts, sum(counts) if int(status) >= _SERVER_ERROR else 0)
            tallies[method, route] = tallies.get((method, route), NOTHING).plus(tally)
        return tallies


def _sum(tallies: dict[Route, Tally]) -> Tally:
    total = NOTHING
    for tally in tallies.values():
        total = total.plus(tally)
    return total


def _figures(tally: Tally, seconds: float) -> dict[str, Any]:
    count = sum(tally.counts)
    return {
        "rate": round(count / seconds, 2),
        "errors": round(tally.failed / count, 4) if count else 0.0,
        "p50": quantile(tally.counts, 0.5),
        "p99": quantile(tally.counts, 0.99),
        "counts": tally.counts,
    }


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Return the seconds that `share` of those counted by bucket stay within; None where none was counted."""
    total = sum(counts)
    if not total:
        return None
    rank, bounds = share * total, (0.0, *BUCKETS)
    for bucket, reached in enumerate(accumulate(counts)):
        if reached >= rank and counts[bucket]:
            if bucket >= len(BUCKETS):
                break
            low, high = bounds[bucket], bounds[bucket + 1]
            return round(low + (high - low) * (rank - (reached - counts[bucket])) / counts[bucket], 6)
    return BUCKETS[-1]
