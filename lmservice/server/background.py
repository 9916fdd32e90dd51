"""What runs beside the requests from readiness to the clean-up: checks, periodic jobs, consumers, the sweep."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from starlette.datastructures import State

from lmservice.jobs.health import CheckMonitor
from lmservice.jobs.periodic import Timetable
from lmservice.messaging.consumers import Consumers
from lmservice.web.listener import Listener
from lmservice.web.request import RequestLayer

SWEEP = 0.5
"""Seconds between two looks for overdue heads and requests."""


class Background:
    """The tasks that poll the checks, run the periodic jobs and consumers, and end overdue heads and requests."""

    def __init__(
        self, monitors: Sequence[CheckMonitor], timetable: Timetable, consumers: Consumers, layer: RequestLayer
    ) -> None:
        self._monitors, self._timetable, self._consumers, self._layer = monitors, timetable, consumers, layer
        self._tasks: list[asyncio.Task[Any]] = []

    def begin(self, listener: Listener | None, state: State) -> None:
        """Begin all of them; `state` is what the start-up jobs have made."""
        for monitor in self._monitors:
            self._begin(monitor.poll_forever(state), f"health check {monitor.check.name}")
        for schedule in self._timetable.schedules:
            self._begin(schedule.run_forever(state), f"schedule of periodic job {schedule.job.name}")
        self._consumers.begin(state)
        if listener is not None:
            self._begin(self._sweep(listener), "sweep")

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))

    async def _sweep(self, listener: Listener) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            listener.sweep()
            self._layer.overdue.end_overdue()

    def end(self) -> None:
        """End all of them."""
        for task in self._tasks:
            task.cancel()
        self._consumers.end()
