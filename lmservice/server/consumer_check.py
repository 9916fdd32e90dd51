"""The health check `consumer:NAME`: whether a consumer has reached its broker; told when that changes, not polled."""

from typing import Any

from lmservice.jobs.callables import Registered
from lmservice.jobs.health import Check, CheckMonitor
from lmservice.messaging.loop import ConsumerRun


class ConsumerMonitor(CheckMonitor):
    """Heeds each change of a consumer at once.

    Args:
        run: the consumer.
        critical: whether the service is unready while it is down, unless its declaration says so.
    """

    def __init__(self, run: ConsumerRun, *, critical: bool) -> None:
        declared = run.declared.critical
        probe = Registered(run.probe, f"consumer:{run.name}", what="health check")
        super().__init__(Check(probe, failures=1, successes=1, critical=critical if declared is None else declared))
        self._run = run

    async def poll_forever(self, state: Any) -> None:
        """Look at the consumer whenever it has gone up or down, until it is cancelled."""
        while True:
            await self._run.turn()
            await self.poll(state)
