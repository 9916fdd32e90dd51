"""The picture of an instance that people are shown: all that can be read from memory, drawn while somebody watches.

It is drawn on the management listener's thread. The service's own thread gives nothing for it but the few instructions
by which the slowest requests are kept, and those only while somebody watches.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Protocol

from lmservice.console.slowest import Slowest
from lmservice.console.traffic import Traffic
from lmservice.jobs.health import CheckMonitor
from lmservice.jobs.periodic import Timetable
from lmservice.jobs.startup import Startup
from lmservice.lifecycle import Lifecycle, State
from lmservice.runtime.heartbeat import Heartbeat
from lmservice.service import Service
from lmservice.settings.model import Settings
from lmservice.telemetry.metrics import Metrics
from lmservice.timestamps import rfc3339
from lmservice.web import in_flight
from lmservice.web.listener import Listener
from lmservice.web.request import RequestLayer

MOST_WAITING = 30
"""The number of requests in flight that are told apart, the oldest first, and of connections."""
PRIVATE = frozenset(("path", "request_id", "peer", "failure", "place", "problems"))
"""The members that come from clients, and errors' messages, which may name anything: for those who may look inside."""


class Observed(Protocol):
    """What is asked of the instance itself."""

    service: Service
    settings: Settings
    lifecycle: Lifecycle
    heartbeat: Heartbeat
    metrics: Metrics
    started_at: float
    failure: str

    @property
    def startup(self) -> Startup | None:
        """Return the start-up jobs; None before they begin."""

    @property
    def listener(self) -> Listener | None:
        """Return the service's listener; None before it is open."""

    @property
    def ready(self) -> bool:
        """Return whether requests should come."""


class Observation:
    """Draws the picture of one instance; `begin` when the first observer has come, `end` when the last has left."""

    def __init__(
        self, instance: Observed, layer: RequestLayer, monitors: Sequence[CheckMonitor], timetable: Timetable
    ) -> None:
        self._instance = instance
        self._layer = layer
        self._monitors = monitors
        self._timetable = timetable
        self._traffic = Traffic(instance.metrics.request_duration, time.monotonic)
        self._calls: dict[tuple[str, str], tuple[float, int, int, float]] = {}
        self._slowest: Slowest | None = None

    async def begin(self) -> None:
        """Begin to collect what is collected for observers alone."""
        self._traffic.begin()
        self._calls.clear()
        self._layer.slowest = self._slowest = Slowest()

    def end(self) -> None:
        """Cease to."""
        self._layer.slowest = self._slowest = None

    def picture(self, *, counts: bool = False) -> dict[str, Any]:
        """Return everything, now; times are seconds, moments seconds since the epoch.

        Args:
            counts: leaves the `counts` in the traffic, from which those of several processes are made one.
        """
        instance, slowest = self._instance, self._slowest
        return {
            "at": round(time.time(), 3),
            **self._life(),
            "startup": self._startup(),
            "checks": [_check(monitor) for monitor in self._monitors],
            "traffic": self._traffic_now(counts=counts),
            "event_loop": {"lag": self._lag(), "well": instance.heartbeat.well},
            "errors": list(self._layer.failures.last)[::-1],
            "slowest": slowest.report() if slowest is not None else [],
            "periodic_jobs": [_job(schedule) for schedule in self._timetable.schedules],
            "clients": self._clients(),
            "drain": self._drain(),
        }

    def _lag(self) -> float:
        heartbeat = self._instance.heartbeat
        return round(max(heartbeat.lag, heartbeat.still_for()), 4)

    def _life(self) -> dict[str, Any]:
        instance, lifecycle = self._instance, self._instance.lifecycle
        down = [monitor.check.name for monitor in self._monitors if monitor.takes_down]
        return {
            "state": lifecycle.state.value,
            "failure": instance.failure or (lifecycle.cause.failure if lifecycle.cause else ""),
            "since": lifecycle.since,
            "ready": instance.ready,
            "unready_for": down if lifecycle.state is State.READY else [],
        }

    def _startup(self) -> dict[str, Any]:
        startup = self._instance.startup
        if startup is None:
            startup = Startup(self._instance.service.jobs, {})
        jobs = startup.timeline()
        done = all(job["status"] == "done" for job in jobs)
        path = startup.critical_path() if done else []
        return {"jobs": jobs, "critical_path": path, "limit": self._instance.settings.startup_timeout}

    def _traffic_now(self, *, counts: bool) -> dict[str, Any]:
        report = self._traffic.report()
        for figures in () if counts else (report["all"], *report["routes"]):
            del figures["counts"]
        waiting = in_flight.report(self._layer.in_flight, self._layer.templates)
        for route in report["routes"]:
            route["in_flight"] = sum(
                other["route"] == route["route"] and other["method"] == route["method"] for other in waiting
            )
        report["all"]["in_flight"] = len(waiting)
        report["waiting"] = waiting[:MOST_WAITING]
        report["rejected"] = dict(self._layer.rejected)
        report["limit"] = self._instance.settings.max_concurrency
        admission = self._layer.admission
        report["limited_by"] = [] if admission is None else admission.limited_by
        if admission is not None and report["limited_by"]:
            report["limit"] = min(report["limit"], admission.limit)
        return report

    def _clients(self) -> list[dict[str, Any]]:
        return [self._host(host) for client in self._instance.service.clients for host in client.report()]

    def _host(self, host: dict[str, Any]) -> dict[str, Any]:
        """Return a host's attempts since it was last looked at, as rates."""
        key = host["client"], host["host"]
        now = time.monotonic(), host["calls"], host["failed"], host.pop("seconds")
        before = self._calls.get(key, now)
        self._calls[key] = now
        passed, calls, failed, seconds = (b - a for a, b in zip(before, now, strict=True))
        return {
            **host,
            "rate": round(calls / passed, 2) if passed else 0.0,
            "errors": round(failed / calls, 4) if calls else 0.0,
            "mean": round(seconds / calls, 6) if calls else None,
        }

    def _drain(self) -> dict[str, Any] | None:
        """Return what a stop is at, and what still holds it up; None where nobody has asked for one."""
        cause, listener = self._instance.lifecycle.cause, self._instance.listener
        if cause is None:
            return None
        settings, phase = self._instance.settings, self._instance.lifecycle.phase
        limits = {
            "drain_delay": settings.drain_delay_max,
            "drain": settings.drain_timeout,
            "cleanup": settings.cleanup_timeout,
        }
        running = [schedule.job.name for schedule in self._timetable.schedules if schedule.running]
        return {
            "reason": cause.reason,
            "failure": cause.failure,
            "phase": phase,
            "phase_since": self._instance.lifecycle.phase_since,
            "limit": limits.get(phase),
            "served": self._layer.answered_in_drain.total(),
            "periodic_jobs": running,
            **(self._holding(listener) if listener is not None else {"connections": None, "background": 0}),
        }

    def _holding(self, listener: Listener) -> dict[str, Any]:
        connections = listener.report()
        connections["each"] = connections["each"][:MOST_WAITING]
        requests = {exchange.task for exchange in list(self._layer.in_flight)}
        background = _unfinished(set(listener.tasks) - requests)
        return {"connections": connections, "background": background}


def without_private(picture: Any) -> Any:
    """Return the same without what is private: paths, request ids, addresses, the messages of errors."""
    if isinstance(picture, dict):
        return {name: without_private(value) for name, value in picture.items() if name not in PRIVATE}
    return [without_private(value) for value in picture] if isinstance(picture, list) else picture


def _unfinished(tasks: set[asyncio.Task[None]]) -> int:
    return sum(not task.done() for task in tasks)


def _check(monitor: CheckMonitor) -> dict[str, Any]:
    polls = [[round(poll.at, 1), round(poll.seconds, 4), poll.error] for poll in list(monitor.polls)]
    return {
        "name": monitor.check.name,
        **monitor.report(),
        "failure": monitor.failure,
        "since": monitor.since,
        "polls": polls,
    }


def _job(schedule: Any) -> dict[str, Any]:
    report = schedule.report()
    began = rfc3339(schedule.began) if schedule.began is not None else None
    job = {"name": schedule.job.name, "every": schedule.every}
    return {**job, **report, "failure": schedule.failure, "began": began}
