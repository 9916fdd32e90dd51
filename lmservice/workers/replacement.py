"""One of the slots for workers: whoever dies in it is replaced, the later the more have died in it in a row."""

import asyncio
import logging
import time
from collections.abc import Callable

from lmservice.errors import one_line
from lmservice.lifecycle import State
from lmservice.workers.exchange import Death, End
from lmservice.workers.worker import Worker

STEADY = 10.0
"""A worker that lives as long as this, in seconds, has not died of its start."""
LOOP = 3
"""So many in a row that have not are a crash loop."""
FIRST_PAUSE = 0.5
"""Before a second one in a row is replaced, or one that could not be started is tried again, in seconds; doubled each
further time, …"""
LONGEST_PAUSE = 30.0
"""… up to this."""

_log = logging.getLogger("lmservice.workers")


async def started(number: int, start: Callable[[], Worker], closed: Callable[[], bool]) -> Worker | None:
    """Start a worker, again and again where the system has no process or descriptor left for it.

    Args:
        number: the worker's, from 1.
        start: starts it.
        closed: whether none is wanted any longer; then there is none.
    """
    pause = FIRST_PAUSE
    while not closed():
        try:
            return start()
        except OSError as error:
            values = {"worker": number, "error": one_line(error), "pause": pause}
            _log.error("lmservice.worker_not_started", extra=values)
        await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE, 2 * pause)
    return None


class Slot:
    """A slot, which has one worker at a time.

    Args:
        worker: its first.
        start: starts the next ones.
        closed: whether those that end are not to be replaced any longer.
        left: called when one has ended.

    Attributes:
        deaths: how many have ended without having been told to.
        in_a_row: how many of them, in a row, before they were steady.
        last_death: of the last of them, when, as `at` in seconds since the epoch, and its `signal` or `exit_code`.
    """

    def __init__(
        self, worker: Worker, start: Callable[[], Worker], closed: Callable[[], bool], left: Callable[[Worker], None]
    ) -> None:
        self.worker = worker
        self._start, self._closed, self._left = start, closed, left
        self.deaths = self.in_a_row = 0
        self.last_death: Death | None = None

    @property
    def steady(self) -> bool:
        """Return whether its worker can be relied on: in a crash loop, only once it has lasted."""
        return self.in_a_row < LOOP or time.monotonic() - self.worker.began >= STEADY

    @property
    def serves(self) -> bool:
        """Return whether its worker takes requests, and can be relied on."""
        return self.worker.state is State.READY and self.steady

    async def keep(self) -> None:
        """Live with one worker after another, until no more are wanted."""
        while True:
            await self.worker.live()
            self._left(self.worker)
            if self._closed():
                return
            await asyncio.sleep(self._record_death())
            replacement = await started(self.worker.number, self._start, self._closed)
            if replacement is None:
                return
            self.worker = replacement
            _log.info("lmservice.worker_replaced", extra={"worker": self.worker.number, "pid": self.worker.pid})

    def _record_death(self) -> float:
        """Log a death, and return how long to wait until the next one is started, in seconds."""
        worker = self.worker
        lived = time.monotonic() - worker.began
        self.deaths += 1
        self.last_death = {"at": round(time.time(), 3), **worker.end}
        self.in_a_row = 0 if lived >= STEADY else self.in_a_row + 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self.in_a_row - 2)) if self.in_a_row > 1 else 0.0
        values = {"worker": worker.number, "pid": worker.pid, **worker.end, "lived": round(lived, 3), "pause": pause}
        _log.error("lmservice.worker_died", extra=values)
        if self.in_a_row >= LOOP:
            hint = f"each died within {STEADY:g} s of its start: {_advice(worker.end)}"
            _log.error(
                "lmservice.worker_crash_loop",
                extra={"worker": worker.number, "in_a_row": self.in_a_row, "pause": pause, "hint": hint},
            )
        return pause


def _advice(end: End) -> str:
    if end.get("cause") != "memory":
        return "the lines before say of what"
    limit = f" ({end['memory_limit'] >> 20} MiB)" if "memory_limit" in end else ""
    return f"of memory: raise the container's limit{limit}, or have fewer by LM_WORKERS"
