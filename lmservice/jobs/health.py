"""Health checks: polled in the background, never inside a probe, and slow to change their mind.

A check is down after `failures` failed polls in a row, and up again after `successes` good ones. Before its first
result it is `unknown`. A critical check makes the service unready unless it is up, so that a rollout with a wrong
password stops at its first pod; until it has been up once it is polled every second.
"""

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from lmservice.errors import one_line
from lmservice.jobs.callables import Registered

if TYPE_CHECKING:
    from starlette.datastructures import State

UNTIL_FIRST = 1.0
"""Seconds, at most, from one poll of a critical check to the next, until it has been up once."""
REMEMBERED = 60
"""How many polls of each check are remembered."""

_log = logging.getLogger("lmservice.health")


class Poll(NamedTuple):
    """How one poll went.

    Attributes:
        at: when it ended, in seconds since the epoch.
        seconds: how long it took.
        error: what it failed with, by its kind; '' where it was good.
    """

    at: float
    seconds: float
    error: str


class Check(NamedTuple):
    """A health check as it was registered.

    Attributes:
        interval: from the end of one poll to the begin of the next, in seconds.
        timeout: what one poll may take, in seconds.
        failures: so many failed polls in a row turn it down.
        successes: so many good polls in a row turn it up again.
        critical: whether the service is unready while it is down, and until it has succeeded once.
    """

    registered: Registered
    interval: float = 5.0
    timeout: float = 2.0
    failures: int = 3
    successes: int = 2
    critical: bool = False

    @property
    def name(self) -> str:
        """Return its name in the probes and in `lmservice_health_check_status{check}`."""
        return self.registered.name


class CheckMonitor:
    """What one health check has found so far.

    Attributes:
        status: `unknown`, `up` or `down`.
        error: what the last poll failed with, by its kind.
        failure: the same with its message, which is not for everybody.
        polls: the last ones, the latest last.
        been_up: whether it has been up once.
        since: when the status last changed, in seconds since the epoch; 0 before its first result.
    """

    def __init__(self, check: Check) -> None:
        self.check = check
        self.status = "unknown"
        self.been_up = False
        self.error = self.failure = ""
        self.polls: deque[Poll] = deque(maxlen=REMEMBERED)
        self.since = 0.0
        self._in_a_row = 0
        self._began = 0.0

    @property
    def takes_down(self) -> bool:
        """Return whether it makes the service unready now."""
        return self.check.critical and self.status != "up"

    @property
    def awaited(self) -> bool:
        """Return whether it makes the service unready only because nothing is known yet."""
        return self.check.critical and self.status == "unknown"

    def report(self) -> dict[str, Any]:
        """Return what the probes say of it; of an error only its kind, as probes answer anybody."""
        report = {"status": self.status, "critical": self.check.critical}
        return {**report, "error": self.error} if self.error else report

    async def poll_forever(self, state: "State") -> None:
        """Poll until it is cancelled."""
        while True:
            await self.poll(state)
            first = self.check.critical and not self.been_up
            await asyncio.sleep(min(UNTIL_FIRST, self.check.interval) if first else self.check.interval)

    async def poll(self, state: "State") -> None:
        """Poll once, and heed the result; fail at once while an earlier poll still holds its thread."""
        self._began = time.monotonic()
        if self.check.registered.threads:
            self._heed(well=False, error="TimeoutError")
            return
        try:
            async with asyncio.timeout(self.check.timeout):
                well = await self.check.registered.call(state) is not False
            self._heed(well=well, error="" if well else "returned False")
        except BaseException as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            self._heed(well=False, error=type(error).__name__, cause=error)

    def _heed(self, *, well: bool, error: str, cause: BaseException | None = None) -> None:
        self.polls.append(Poll(time.time(), time.monotonic() - self._began, error))
        agrees = self.status == ("up" if well else "down")
        self._in_a_row = 0 if agrees else self._in_a_row + 1
        self.error, self.failure = error, one_line(cause) if cause is not None else error
        enough = 1 if well and self.status == "unknown" else self.check.successes if well else self.check.failures
        if not agrees and (self._in_a_row >= enough):
            self._turn("up" if well else "down", cause)

    def _turn(self, status: str, cause: BaseException | None) -> None:
        before, self.status, self._in_a_row = self.status, status, 0
        self.been_up = self.been_up or status == "up"
        self.since = time.time()
        values = {
            "check": self.check.name,
            "critical": self.check.critical,
            "error": str(cause) if cause else self.error,
        }
        if status == "down":
            _log.error("lmservice.health_check_down", extra=values)
        elif before == "down":
            _log.info("lmservice.health_check_up", extra=values)
