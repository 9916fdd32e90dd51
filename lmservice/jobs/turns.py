"""Turns: a periodic job that of all instances one runs each time.

A turn is the wall clock divided by `every`, in whole numbers, so that all instances count alike. Each instance tries to
begin every turn, which is one compare-and-set of its number: the first gets it. An instance that dies takes its turn
with it; the next one begins elsewhere.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Any, Protocol

from lmservice.errors import one_line

SPREAD = 0.1
"""How late in a turn an instance tries to begin it, at random and at most, as a share of `every`."""
LONGEST_SPREAD = 5.0
"""The same in seconds at most."""
PATIENCE = 10.0
"""What beginning a turn may take, in seconds."""

_log = logging.getLogger("lmservice.periodic")


class Turns(Protocol):
    """Where the turns are counted that have begun."""

    async def begin(self, job: str, turn: int) -> bool:
        """Return whether the turn is this caller's; false where it, or a later one, has begun already.

        Raises:
            Exception: nobody knows; a turn that was begun all the same is lost.
        """


class Lock(Protocol):
    """What periodic jobs are declared with, as `once=`: `lmservice.locks` has some."""

    def turns(self, settings: Any) -> Turns:
        """Return where the turns are counted, by the settings.

        Raises:
            ServiceDefinitionError: the settings do not say.
        """


class TurnTaker:
    """Waits for each turn of one job, and tries to begin it.

    Args:
        job: by what name the turns are counted: the service's and the job's.
        every: how long a turn is, in seconds.
        turns: where they are counted.
        wall_clock: seconds since the epoch; default `time.time`.
    """

    def __init__(self, job: str, every: float, turns: Turns, wall_clock: Callable[[], float] | None = None) -> None:
        self._job, self._every, self._turns = job, every, turns
        self._wall_clock = wall_clock or time.time
        self._last = self._turn()

    def _turn(self) -> int:
        return int(self._wall_clock() // self._every)

    async def next(self) -> bool:
        """Wait until a turn comes after the last; return whether it is this instance's to run."""
        begin = (max(self._last, self._turn()) + 1) * self._every
        late = random.random() * min(self._every * SPREAD, LONGEST_SPREAD)  # or the nearest would have them all
        await asyncio.sleep(max(0.0, begin + late - self._wall_clock()))
        turn = max(self._last + 1, self._turn())  # an alarm may ring a little early
        self._last = turn
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._turns.begin(self._job, turn)
        except Exception as error:  # noqa: BLE001 - whatever a client raises, the next turn is tried
            values = {"job": self._job, "turn": turn, "error": one_line(error)}
            _log.error("lmservice.periodic_job_lock_failed", extra=values)
            return False
