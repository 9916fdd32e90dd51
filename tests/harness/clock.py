"""Virtual time: an event loop whose clock jumps to the next timer as soon as nothing else is left to do.

A test that waits for an hour takes no time, and every moment in it is exact. Sockets and threads are real: as long as
another thread runs, a jump waits for it a little, so that what it does comes before what the clock would bring.
"""

import asyncio
import selectors
import threading
from collections.abc import Mapping
from typing import Any

PATIENCE = 0.2
"""How long, in real seconds, a jump waits for the other threads."""


class ClockLoop(asyncio.SelectorEventLoop):
    """A loop that begins at 0 s; `anyio_backend` may name it as the `loop_factory`."""

    def __init__(self) -> None:
        self._now = 0.0
        self._threads = threading.active_count()
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Puts the clock forward."""
        self._now += seconds

    @property
    def alone(self) -> bool:
        """Whether no thread runs that did not when the loop was made."""
        return threading.active_count() <= self._threads


class _Jumping(selectors.BaseSelector):
    def __init__(self, loop: ClockLoop) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return self._real.select(timeout)
        if ready := self._real.select(0 if self._loop.alone else PATIENCE):
            return ready
        self._loop.jump(timeout)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


VIRTUAL = ("asyncio", {"loop_factory": ClockLoop})
"""What the fixture `anyio_backend` returns where a module's tests run in virtual time."""
