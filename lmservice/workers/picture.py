"""What a person is shown of all workers: one picture of the last ones that they have sent, while somebody watches.

Each worker draws its own, a little more often than they are shown, and sends it; whoever looks is shown what is in
memory. What comes from one worker (a request, a connection, the start-up's chart) says which, as `worker`.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Protocol

from pydantic_core import from_json

from lmservice.jobs.startup import Startup
from lmservice.lifecycle import Lifecycle, State
from lmservice.runtime.heartbeat import Heartbeat
from lmservice.service import Service
from lmservice.settings.model import Settings
from lmservice.workers import merge_picture
from lmservice.workers.merge_picture import Part
from lmservice.workers.replacement import Slot
from lmservice.workers.totals import Totals
from lmservice.workers.worker import Worker

FIRST = 0.5
"""How long the first pictures may take, in seconds; whoever has not sent one by then is shown later."""
LOOK = 0.01
"""Between two looks whether they have come, in seconds."""
STALE = 5.0
"""A picture older than this, in seconds, is of a worker that stands still: nobody knows its rates."""
_NOTHING: Part = {"traffic": {"all": {"rate": 0.0, "in_flight": 0}}, "event_loop": {"lag": 0.0}}


class Supervised(Protocol):
    """What is asked of the supervisor; all but `watch` from memory."""

    service: Service
    settings: Settings
    lifecycle: Lifecycle
    heartbeat: Heartbeat
    totals: Totals
    slots: list[Slot]

    @property
    def workers(self) -> list[Worker]:
        """Return those that have not ended."""

    @property
    def failure(self) -> str:
        """Return why the start failed; '' where it has not."""

    @property
    def ready(self) -> bool:
        """Return whether requests should come."""

    @property
    def well(self) -> bool:
        """Return whether every event loop turns."""

    def watch(self, *, watched: bool) -> None:
        """Have every worker send pictures, those that come later too; or cease to."""


class WorkersObservation:
    """Draws the picture of all workers; `begin` when the first observer has come, `end` when the last has left."""

    def __init__(self, supervisor: Supervised) -> None:
        self._supervisor = supervisor
        self._phase: tuple[str, float] | None = None

    async def begin(self) -> None:
        """Have every worker draw, and wait a moment for their first pictures."""
        self._supervisor.watch(watched=True)
        loop = asyncio.get_running_loop()
        due = loop.time() + FIRST
        while loop.time() < due and self._awaited():  # noqa: ASYNC110 - another thread's
            await asyncio.sleep(LOOK)

    def _awaited(self) -> bool:
        return any(worker.status and not worker.picture for worker in self._supervisor.workers)

    def end(self) -> None:
        """Have none of them draw any longer."""
        self._supervisor.watch(watched=False)

    def picture(self) -> dict[str, Any]:
        """Return what an `lmservice.console.picture.Observation` draws, of all workers, and a line of each of them.

        Figures are of the workers that have not ended; what requests have been answered since the start is told of all.
        Once all have ended, their last words are shown.
        """
        supervisor, now = self._supervisor, time.time()
        kept = [(slot, slot.worker) for slot in supervisor.slots]
        drawn = [(worker, _read(worker, now)) for _, worker in kept if worker.picture]
        parts = [part for worker, part in drawn if worker.alive]
        last = parts or [part for _, part in drawn]
        traffic = [*(part["traffic"] for part in parts), merge_picture.of_ended(supervisor.totals.answered)]
        return {
            "at": round(now, 3),
            **self._life(parts),
            "startup": self._startup([part["startup"] for part in last]),
            "checks": merge_picture.checks([part["checks"] for part in last]),
            "traffic": merge_picture.traffic(traffic),
            "event_loop": {"lag": self._lag(parts), "well": supervisor.well},
            "errors": merge_picture.errors([part["errors"] for part in last]),
            "slowest": merge_picture.slowest([part["slowest"] for part in last]),
            "periodic_jobs": merge_picture.periodic_jobs([part["periodic_jobs"] for part in last]),
            "clients": merge_picture.clients([part["clients"] for part in last]),
            "drain": self._drain([part for _, part in drawn], parts),
            "workers": self._lines(kept, dict(drawn)),
        }

    def _lines(self, kept: Sequence[tuple[Slot, Worker]], drawn: dict[Worker, Part]) -> list[Part]:
        """Return one of each worker; of a slot where one has died as well, while it is to be replaced."""
        serves = self._supervisor.lifecycle.state is State.READY
        return [_line(slot, worker, drawn.get(worker)) for slot, worker in kept if worker.alive or serves]

    def _life(self, parts: Sequence[Part]) -> Part:
        supervisor, lifecycle = self._supervisor, self._supervisor.lifecycle
        ready = supervisor.ready
        down = {name: None for part in parts for name in part["unready_for"]}
        unready_for = list(down) if lifecycle.state is State.READY and not ready else []
        return {
            "state": lifecycle.state.value,
            "failure": supervisor.failure or (lifecycle.cause.failure if lifecycle.cause else ""),
            "since": lifecycle.since,
            "ready": ready,
            "unready_for": unready_for,
        }

    def _startup(self, timelines: Sequence[Part]) -> Part:
        if timelines:
            return merge_picture.startup(timelines)
        jobs = Startup(self._supervisor.service.jobs, {}).timeline()
        return {"jobs": jobs, "critical_path": [], "limit": self._supervisor.settings.startup_timeout}

    def _lag(self, parts: Sequence[Part]) -> float:
        """Return the worst, in seconds; that of the supervisor's own loop, which has the drain, counts as well."""
        heartbeat = self._supervisor.heartbeat
        lags = [heartbeat.lag, heartbeat.still_for(), *(float(part["event_loop"]["lag"]) for part in parts)]
        return round(max(lags), 4)

    def _drain(self, known: Sequence[Part], parts: Sequence[Part]) -> Part | None:
        """Return what the stop is at: what the worker furthest behind is at, or was when all had ended."""
        lifecycle, settings = self._supervisor.lifecycle, self._supervisor.settings
        cause = lifecycle.cause
        if cause is None:
            return None
        drains = [part["drain"] for part in parts if part["drain"]]
        if drains:
            self._phase = merge_picture.phase(drains)
        name, since = self._phase or ("drain_delay", lifecycle.since)
        limits = {
            "drain_delay": settings.drain_delay_max,
            "drain": settings.drain_timeout,
            "cleanup": settings.cleanup_timeout,
        }
        return {
            "reason": cause.reason,
            "failure": cause.failure,
            "phase": name,
            "phase_since": since,
            "limit": limits.get(name),
            "served": sum(part["drain"]["served"] for part in known if part["drain"]),
            **merge_picture.holding(drains),
        }


def _read(worker: Worker, now: float) -> Part:
    """Return a worker's last picture, under its number; the lag is as long as the worker is silent."""
    part: Part = from_json(worker.picture)
    drain = part["drain"] or {}
    connections = (drain.get("connections") or {}).get("each", [])
    for one in (part["startup"], *part["errors"], *part["slowest"], *part["traffic"]["waiting"], *connections):
        one["worker"] = worker.number
    part["event_loop"]["lag"] = max(part["event_loop"]["lag"], round(worker.still_for, 4))
    if now - part["at"] > STALE:
        merge_picture.silence(part["traffic"])
    return part


def _line(slot: Slot, worker: Worker, part: Part | None) -> Part:
    """Return a worker's line, and how those before it in its slot died; without a picture, it does nothing."""
    known = part if part is not None and worker.alive else _NOTHING
    everything = known["traffic"]["all"]
    return {
        "worker": worker.number,
        "pid": worker.pid,
        "state": worker.state.value,
        "ready": worker.ready,
        "rate": everything["rate"],
        "in_flight": everything["in_flight"],
        "lag": known["event_loop"]["lag"],
        "deaths": slot.deaths,
        "last_death": slot.last_death,
    }
