"""Virtual time: a loop whose clock jumps to the next timer as soon as nothing else is left to do.

asyncio's own loop reads `time.monotonic` for its clock, and waits for its timers in its selector; both are replaced
for a while. The clock stands still between two jumps, so that every moment is exact.
"""

import asyncio
import contextlib
import selectors
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from lmservice.errors import UsageError

PATIENCE = 0.2
"""Real seconds that a jump waits where other threads run, for what they do to come before what the clock brings."""


class _Clock:
    """Seconds that pass by jumps alone, on one thread; the others go by the real clock."""

    def __init__(self) -> None:
        self._real = time.monotonic
        self._now = time.monotonic()
        self._thread = threading.get_ident()

    def monotonic(self) -> float:
        return self._now if threading.get_ident() == self._thread else self._real()

    def jump(self, seconds: float) -> None:
        self._now += seconds


class _JumpingSelector(selectors.BaseSelector):
    """The loop's selector, which does not wait for a timer but puts the clock forward to it."""

    def __init__(self, real: selectors.BaseSelector, clock: _Clock) -> None:
        self._real, self._clock = real, clock
        self._threads = threading.active_count()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return self._real.select(timeout)
        alone = threading.active_count() <= self._threads
        ready = self._real.select(0 if alone else PATIENCE)
        if not ready:
            self._clock.jump(timeout)
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


@contextlib.contextmanager
def jumping(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Have a loop, and whatever reads `time.monotonic` on its thread, live in virtual time.

    Raises:
        UsageError: it is no loop of asyncio's own, or lives in virtual time already.
    """
    real = getattr(loop, "_selector", None)
    own_clock = getattr(type(loop), "time", None) is not asyncio.BaseEventLoop.time
    if own_clock or not isinstance(real, selectors.BaseSelector):
        kind = f"{type(loop).__module__}.{type(loop).__qualname__}"
        raise UsageError(f"virtual_time() needs asyncio's own event loop, not {kind}: run the test on that")
    if isinstance(real, _JumpingSelector):
        raise UsageError("virtual_time() has been entered already: leave it before it is entered again")
    clock, before = _Clock(), time.monotonic
    loop._selector = _JumpingSelector(real, clock)  # type: ignore[attr-defined]  # noqa: SLF001 - no other way to jump
    time.monotonic = clock.monotonic
    try:
        yield
    finally:
        time.monotonic = before
        loop._selector = real  # type: ignore[attr-defined]  # noqa: SLF001
