"""The circuit breaker of one host: closed while it is well, open while it is not, half-open to see whether it is again.

Closed, every attempt goes through, and its end is counted. When enough of those in the window have failed it opens,
and nothing goes through; after a while one single attempt does, the probe, which closes it or opens it again.
What is on PyPI counts failures in a row, or knows no asyncio, so it is written here.
"""

from collections import deque
from collections.abc import Callable
from enum import StrEnum

from lmservice.client.policy import ClientPolicy

SLOTS = 20
"""The number of parts in which the window slides on: what is older than the window never counts."""


class BreakerState(StrEnum):
    """What the breaker does with an attempt."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class Breaker:
    """Counts how attempts end, and says whether the next may begin; `now` is in seconds of any clock that only grows.

    Args:
        policy: whose fields `breaker_...` it keeps.
        changed: told each new state.
    """

    def __init__(self, policy: ClientPolicy, changed: Callable[[BreakerState], None]) -> None:
        self.state = BreakerState.CLOSED
        self._policy = policy
        self._changed = changed
        self._window = _Window(policy.breaker_window)
        self._turn = 0
        self._opened = 0.0
        self._probing = False

    def enter(self, now: float) -> int | None:
        """Return a permit for one attempt, which `leave` takes back; None where it may not be made."""
        if self.state is BreakerState.CLOSED:
            return self._turn
        if self.state is BreakerState.OPEN and self.reopens_in(now) <= 0:
            self._change(BreakerState.HALF_OPEN)
        if self.state is BreakerState.OPEN or self._probing:
            return None
        self._probing = True
        return self._turn

    def refuses(self, now: float) -> bool:
        """Return whether `enter` would give no permit; takes none."""
        open_still = self.state is BreakerState.OPEN and self.reopens_in(now) > 0
        return open_still or (self.state is BreakerState.HALF_OPEN and self._probing)

    def leave(self, permit: int, now: float, *, failed: bool | None) -> None:
        """Count an attempt that has ended; `failed` is None where that says nothing of the host, as when cancelled."""
        if permit != self._turn:
            return  # it began before the state last changed, and is no news any more
        if self.state is BreakerState.HALF_OPEN:
            self._probing = False
            if failed is not None:
                self._change(BreakerState.OPEN if failed else BreakerState.CLOSED, now)
        elif failed is not None:
            self._window.add(now, failed=failed)
            if self._window.failures and self._breaks(now):
                self._change(BreakerState.OPEN, now)

    def reopens_in(self, now: float) -> float:
        """Return how long an open breaker still lets nobody through, in seconds."""
        return self._opened + self._policy.breaker_open - now

    def _breaks(self, now: float) -> bool:
        window, policy = self._window, self._policy
        window.forget(now)
        enough = window.calls >= policy.breaker_minimum_calls
        return enough and window.failures >= policy.breaker_failure_ratio * window.calls

    def _change(self, state: BreakerState, now: float = 0.0) -> None:
        self.state = state
        self._turn += 1
        self._probing = False
        self._opened = now
        self._window = _Window(self._policy.breaker_window)
        self._changed(state)


class _Window:
    """How many calls there were lately, and how many failed."""

    def __init__(self, seconds: float) -> None:
        self.calls = self.failures = 0
        self._seconds = seconds
        self._slots: deque[_Slot] = deque()

    def add(self, now: float, *, failed: bool) -> None:
        slots = self._slots
        if not slots or now >= slots[-1].began + self._seconds / SLOTS:
            self.forget(now)
            slots.append(_Slot(now))
        self.calls += 1
        slots[-1].calls += 1
        if failed:
            self.failures += 1
            slots[-1].failures += 1

    def forget(self, now: float) -> None:
        """Drop what is older than the window."""
        slots = self._slots
        while slots and slots[0].began <= now - self._seconds:
            slot = slots.popleft()
            self.calls -= slot.calls
            self.failures -= slot.failures


class _Slot:
    __slots__ = ("began", "calls", "failures")

    def __init__(self, began: float) -> None:
        self.began = began
        self.calls = self.failures = 0
