"""How many requests of one route may be in their handlers at once, by what they take against their own low.

A dependency that serves ten at a time makes the eleventh wait: from there on more requests give no more answers, only
later ones. Where not even the quickest quarter of a route's answers comes near the least that they ever took, a queue
stands behind the handlers. Then as many are let in as Little's law says are being worked on (answers a second times
the low), and some more to wait, so that nothing idles. Once answers come quickly again there is no limit.

The low rises only where few requests are under way, or in a probe: while the limit holds, it is lowered now and then
for a moment, and what answers take then is the low. So a dependency that has become slower for good is found out.
"""

import math
from collections import deque
from typing import Final

FLOOR: Final = 10
"""The limit never falls below so many requests."""
HEADROOM: Final = 21
"""So many may wait beyond those that are worked on: at nine tenths of what can be done, fewer than one in a thousand
finds the queue full; …"""
HEADROOM_SECONDS: Final = 0.03
"""… or as many as are answered in so many seconds, where that is more; …"""
LONGEST_WAIT: Final = 0.2
"""… but none that would wait for longer than this, in seconds."""
UNLIMITED_ABOVE: Final = 1.0
"""A route that takes so long at its quickest, in seconds, waits for something else than its turn: a long poll."""
STANDING: Final = 0.1
"""How long answers must have been late for a queue to be a standing one, in seconds."""
WELL: Final = 1.5
"""By so much answers may take longer than the low and be well, …"""
WELL_SECONDS: Final = 0.003
"""… and by so many seconds."""
REMEMBERED: Final = 1.0
"""For how long it counts that so many ran well, in seconds."""
LOW_LASTS: Final = 10.0
"""The longest that a low counts before it is measured anew, in seconds, and the longest between two probes; …"""
FIRST_PROBE: Final = 1.0
"""… the shortest between two."""
PROBED_SHARE: Final = 0.75
"""How much of what is being worked on a probe lets in."""
MOST_SAMPLES: Final = 64

_SMOOTHING = 0.3


class RouteLimit:
    """What is known of one route.

    Attributes:
        samples: what its latest answers took in the handler, in seconds, …
        answered: … and how many there were since the last look.
        low: what its quickest quarter took at its best, in seconds; infinite where nothing is known.
        limit: how many may be under way at once; infinite while no queue stands.
        running: how many are under way; kept only while there is a limit.
        refused: whether one was refused since the last look: then what answers take says nothing of the load.
    """

    def __init__(self, now: float) -> None:
        self.samples: list[float] = []
        self.answered = 0
        self.low = self.limit = math.inf
        self.running = 0
        self.refused = False
        self.rate = 0.0
        self._looked = self._good = self._low_since = now
        self._next_low = math.inf
        self._ran_well: deque[tuple[float, int]] = deque()
        self._probe_after = FIRST_PROBE
        self._probing_since = self._reached = 0.0

    @property
    def worked_on(self) -> float:
        """Return how many requests are being worked on, not waiting, by Little's law."""
        return self.rate * self.low if self.rate else 0.0

    @property
    def headroom(self) -> float:
        """Return how many may wait behind them."""
        return min(max(HEADROOM, self.rate * HEADROOM_SECONDS), self.rate * LONGEST_WAIT)

    def look(self, now: float, running: int) -> None:
        """Take what was answered since the last look into account; to be called every tenth of a second or so.

        Args:
            now: in seconds of a monotonic clock.
            running: how many of its requests are under way.
        """
        self.running = running
        self._measure_rate(now)
        quick, most = self._quartiles()
        if quick is not None:
            if running < FLOOR:
                self._renew_low(quick, now)
            self.low = min(self.low, quick)
            well = WELL * self.low + WELL_SECONDS
            if quick <= well and not self.refused:
                self._good = now
            if most <= well:
                self._ran_well.append((now, running))
        self.refused = False
        while self._ran_well and self._ran_well[0][0] < now - REMEMBERED:
            self._ran_well.popleft()
        if not self._is_standing(now):
            self.limit, self._probing_since, self._reached = math.inf, 0.0, 0.0
            return
        if math.isinf(self.limit):
            self._low_since = now
        self._set_limit(now, quick)

    def _measure_rate(self, now: float) -> None:
        seconds, answered = now - self._looked, self.answered
        self.answered, self._looked = 0, now
        if seconds > REMEMBERED:  # nobody has looked, as there was nothing to see
            self._good, self.rate = now, 0.0
        elif seconds > 0:
            self.rate += (answered / seconds - self.rate) * (_SMOOTHING if self.rate else 1.0)

    def _quartiles(self) -> tuple[float | None, float]:
        """Return what the quickest quarter of the answers took at most, and what three quarters did."""
        ordered, self.samples = sorted(self.samples), []
        return (ordered[len(ordered) // 4], ordered[3 * len(ordered) // 4]) if ordered else (None, 0.0)

    def _renew_low(self, quick: float, now: float) -> None:
        """Let a low be forgotten that is no longer reached though little is going on."""
        self._next_low = min(self._next_low, quick)
        if now - self._low_since > LOW_LASTS:
            self.low, self._next_low, self._low_since = self._next_low, math.inf, now

    def _is_standing(self, now: float) -> bool:
        if self.running < FLOOR and math.isinf(self.limit):
            return False
        return self.low <= UNLIMITED_ABOVE and now - self._good > max(STANDING, 2 * self.low)

    def _set_limit(self, now: float, quick: float | None) -> None:
        ran_well = max((count for _, count in self._ran_well), default=0)
        self.limit = max(FLOOR, ran_well, math.ceil(self.worked_on + self.headroom))
        if not self._probing_since:
            if now - self._low_since >= self._probe_after:
                self._probing_since = now
            return
        self.limit = probed = max(FLOOR, math.ceil(PROBED_SHARE * self.worked_on))
        if self.running > probed or quick is None:
            return
        self._reached = self._reached or now
        if now - self._reached < quick + STANDING:
            return  # what was answered may have begun before
        self._probe_after = min(2 * self._probe_after, LOW_LASTS) if quick < WELL * self.low else FIRST_PROBE
        self.low, self._low_since, self._probing_since, self._reached = quick, now, 0.0, 0.0
