"""What may be known of a running service, from any thread: what the management listener and the console ask."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lmservice.jobs.health import CheckMonitor
from lmservice.jobs.periodic import Timetable
from lmservice.jobs.startup import Startup
from lmservice.jobs.startup_graph import JobStatus, pending
from lmservice.lifecycle import Lifecycle, State
from lmservice.runtime import stacks
from lmservice.runtime.heartbeat import Heartbeat
from lmservice.runtime.profiling import Profile, ProfileRequest, Profiling
from lmservice.server.report import identity
from lmservice.service import Service
from lmservice.settings.model import Settings
from lmservice.telemetry.logs import Stream
from lmservice.telemetry.metrics import Metrics
from lmservice.web.listener import Listener
from lmservice.web.request import RequestLayer

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from lmservice.console.picture import Observation


class InstanceView:
    """The half of an instance that only looks: it changes nothing, and answers from memory."""

    service: Service
    settings: Settings
    stream: Stream
    lifecycle: Lifecycle
    metrics: Metrics
    heartbeat: Heartbeat
    loop: asyncio.AbstractEventLoop
    monitors: Sequence[CheckMonitor]
    startup: Startup | None
    listener: Listener | None
    started_at: float
    failure: str
    _layer: RequestLayer
    _timetable: Timetable
    _profiling: Profiling

    @property
    def well(self) -> bool:
        """Return whether the event loop turns."""
        return self.heartbeat.well

    @property
    def started(self) -> bool:
        """Return whether the start-up jobs are done."""
        if self.startup is None:
            return False
        return all(run.status is JobStatus.DONE for run in self.startup.runs.values())

    @property
    def ready(self) -> bool:
        """Return whether requests should come: to nobody who is not alive."""
        taken_down = any(monitor.takes_down for monitor in self.monitors)
        return self.lifecycle.state is State.READY and self.well and not taken_down

    @property
    def awaits_checks(self) -> bool:
        """Return whether critical checks make it unready of which nothing is known yet."""
        return any(monitor.awaited for monitor in self.monitors)

    @property
    def last_opened(self) -> float:
        """Return when a connection last came, in seconds of the system's monotonic clock."""
        return self.listener.last_opened if self.listener is not None else 0.0

    @property
    def in_flight(self) -> int:
        """Return how many requests are under way."""
        return len(self._layer.in_flight)

    def info(self) -> dict[str, str]:
        """Return name, version and so on of what runs."""
        return identity(self.settings, self.stream)

    def progress(self) -> dict[str, Any]:
        """Return how far the start-up jobs are, what the checks say, and how the periodic jobs go."""
        jobs = self.startup.report() if self.startup else pending(self.service.jobs)
        checks = {monitor.check.name: monitor.report() for monitor in self.monitors}
        return {"startup_jobs": jobs, "checks": checks, "periodic_jobs": self._timetable.report()}

    def observation(self) -> "Observation":
        """Return what draws the pictures that a person is shown of it."""
        from lmservice.console.picture import Observation  # noqa: PLC0415 - costs every start what few look at

        return Observation(self, self._layer, self.monitors, self._timetable)

    async def registry(self) -> "CollectorRegistry":
        """Return what `/metrics` tells."""
        return self.metrics.registry

    async def tasks(self) -> dict[str, Any]:
        """Return the stacks of every thread, and of every task of its loop and of the loop that asks."""
        return stacks.snapshot(self.loop, asyncio.get_running_loop())

    def log_stacks(self) -> None:
        """Log where every task and thread is; may be called from a signal handler."""
        stacks.log(*([self.loop] if self.startup is not None else []))

    async def profile(self, request: ProfileRequest) -> Profile:
        """Return where the event loop's thread spends its time.

        Raises:
            ProfileError: it cannot be told.
        """
        return await self._profiling.take(self.loop, request)
