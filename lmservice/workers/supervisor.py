"""The supervisor: it has the signals, the management listener and the drain, and serves no request itself.

It holds the listening socket open, so that what waits in the queue outlives any worker. A drain is one over all: each
worker says `Connection: close` from its first moment, the delay lasts until none of them has had a new connection, and
the socket refuses new ones for all at once; the workers leave it as its queue is empty, the last one behind the others.
"""

import asyncio
import concurrent.futures
import contextlib
import logging
import math
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from http import HTTPStatus
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic_core import from_json

from lmservice import names
from lmservice.errors import ExitCode, ProfileError, StartError
from lmservice.lifecycle import Lifecycle, State, StopCause
from lmservice.runtime import stacks
from lmservice.runtime.heartbeat import Heartbeat
from lmservice.runtime.profiling import FORMS, Profile, ProfileRequest
from lmservice.server import process
from lmservice.server.instance import (
    LAST_FLUSH,
    LAST_FLUSH_LEAST,
    TICK,
    Handover,
    delayed,
    identity,
    warn_of_missing_hook,
)
from lmservice.service import Service
from lmservice.settings.model import Settings
from lmservice.settings.stop_budget import CLOSING_SECONDS
from lmservice.telemetry import logs
from lmservice.telemetry.graphite import Graphite
from lmservice.telemetry.levels import Levels
from lmservice.telemetry.logs import Stream
from lmservice.telemetry.metrics import Metrics, Samples
from lmservice.web import sockets
from lmservice.workers.connection_counts import ConnectionCounts
from lmservice.workers.merge_progress import merged
from lmservice.workers.slot import Slot
from lmservice.workers.totals import Totals
from lmservice.workers.worker import PATIENCE, UnansweredError, Worker, ended

PARTING = 2.0
"""What the first workers have to part with the listener before the last one is told to, in seconds."""
FORCED = 3.0
"""What workers have to end once the stop is forced, in seconds."""

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from lmservice.workers.picture import WorkersObservation

T = TypeVar("T")

_log = logging.getLogger("lmservice.workers")


def run(service: Service, settings: Settings, target: str) -> ExitCode:
    """Runs a service in several processes to its end, in the main thread.

    Args:
        service: what the workers run.
        settings: theirs too.
        target: where they find it, `MODULE:SERVICE`.

    Raises:
        BindError: an address cannot be had; nothing has been started.
    """
    with (
        logs.configured(settings, service.name, service.version) as stream,
        process.bound(settings) as (sock, management_sock),
    ):
        counts = ConnectionCounts.create(settings.workers)
        logs.share_output(counts.descriptor)
        supervisor = Supervisor(service, settings, stream, sock, partial(Worker, target, listener=sock, counts=counts))
        return process.serve(supervisor, sock, management_sock, asyncio.new_event_loop)


class Supervisor:
    """The workers of a service as one, which is what the management listener asks.

    Args:
        sock: the service listener's socket, bound.
        start: starts the worker of a number, whose snapshots go to `counted`.
    """

    def __init__(
        self, service: Service, settings: Settings, stream: Stream, sock: socket.socket, start: Callable[..., Worker]
    ) -> None:
        self.service, self.settings, self.stream = service, settings, stream
        self.lifecycle = Lifecycle()
        self.report: concurrent.futures.Future[dict[str, Any]] = concurrent.futures.Future()
        self.started_at = time.time()
        self.heartbeat = Heartbeat(settings.liveness_stall)
        self.levels: Levels = _Levels(self)
        self.loop: asyncio.AbstractEventLoop
        self.exit_code = ExitCode.CLEAN
        self.leaving = False
        """Whether the workers have ended: from here on nothing changes how it ends."""
        self._sock, self._start_worker = sock, start
        self._metrics = Metrics()
        self.totals = Totals(self._metrics)
        self.slots: list[Slot] = []
        self._ended: list[Worker] = []
        """Those that ended while the service drained."""
        self._failure: StartError | None = None
        self._all_started = self._has_been_ready = self._watched = False
        told = SimpleNamespace(registry=self.totals, observed=self._metrics.observed)
        self._graphite = Graphite(settings, cast("Metrics", told)) if settings.graphite_url else None
        self._phases = {"drain_delay": 0.0, "drain": 0.0, "cleanup": 0.0}
        self._problems: list[str] = []
        self._observe()

    def _observe(self) -> None:
        observed = self._metrics.observed
        observed(names.STATE, "1 for the state that the service is in.", ("state",), self._states)
        observed(
            names.READY,
            "1 while requests should come, as /readyz says it, else 0.",
            (),
            lambda: [((), float(self.ready))],
        )
        observed(names.WORKERS, "Workers, by the state that they are in.", ("state",), self._states_of_workers)
        observed(
            names.WORKER_DEATHS,
            "Workers that ended without having been told to.",
            (),
            lambda: [((), float(sum(slot.deaths for slot in self.slots)))],
            kind="counter",
        )
        observed(
            names.LOG_LINES_DROPPED,
            "Log lines dropped as nobody read standard output.",
            (),
            lambda: [((), float(self.stream.output.dropped))],
            kind="counter",
        )

    def _states(self) -> Samples:
        now = self.lifecycle.state
        return [((state.value,), float(state is now)) for state in State]

    def _states_of_workers(self) -> Samples:
        states = Counter(slot.worker.state for slot in self.slots)
        return [((state.value,), float(states[state])) for state in State]

    # What may be known of it, from any thread.

    @property
    def workers(self) -> list[Worker]:
        """Those that have not ended."""
        return [worker for slot in self.slots if (worker := slot.worker).alive]

    @property
    def failure(self) -> str:
        """Why the start failed; '' where it has not."""
        return str(self._failure or "")

    @property
    def well(self) -> bool:
        """Whether every worker's event loop turns."""
        limit = self.settings.liveness_stall
        return self.heartbeat.well and all(worker.still_for < limit for worker in self.workers)

    @property
    def started(self) -> bool:
        """Whether every worker's start-up jobs have been done once; one that is replaced does not count again."""
        return self._all_started

    @property
    def ready(self) -> bool:
        """Whether one worker at least can be relied on, and each that serves has its critical checks up."""
        serving = [slot.worker for slot in self.slots if slot.serves]
        return self.lifecycle.state is State.READY and bool(serving) and all(worker.ready for worker in serving)

    def info(self) -> dict[str, str]:
        """Name, version and so on of what runs."""
        return identity(self.settings, self.stream)

    def progress(self) -> dict[str, Any]:
        """The jobs and checks, of the worker worst off, and the workers themselves."""
        workers = self.workers
        reports = [worker.status["progress"] for worker in workers if worker.status]
        report = merged(reports) if reports else {"startup_jobs": self._pending(), "checks": {}, "periodic_jobs": {}}
        told = [{"worker": worker.number, "pid": worker.pid, "state": worker.state.value} for worker in workers]
        return {**report, "workers": told}

    def _pending(self) -> dict[str, Any]:
        return {job.name: {"status": "pending", "attempts": 0, "seconds": 0.0} for job in self.service.jobs}

    # What it has to ask the workers for, on the management listener's loop.

    def observation(self) -> "WorkersObservation":
        """What a person is shown of all workers."""
        from lmservice.workers.picture import WorkersObservation  # noqa: PLC0415 - costs every start what few look at

        return WorkersObservation(self)

    def watch(self, *, watched: bool) -> None:
        """Has all workers send pictures, and those that come later; or cease to. From any thread."""
        self._watched = watched
        for worker in self.workers:
            worker.picture = b""
            with contextlib.suppress(RuntimeError):  # the loop has ended, and so have they
                self.loop.call_soon_threadsafe(partial(worker.tell, "observe", watched=watched))

    async def registry(self) -> "CollectorRegistry":
        """What `/metrics` tells: all workers' as one, as fresh as they answer."""
        await self._on_loop(self.ask_all("count"))
        return cast("CollectorRegistry", self.totals)

    async def tasks(self) -> dict[str, Any]:
        """The stacks of every task and thread, of each worker and its own."""
        own = stacks.snapshot(self.loop, asyncio.get_running_loop())
        found = {kind: [{"worker": "supervisor", **each} for each in own[kind]] for kind in ("tasks", "threads")}
        problems = []
        for worker, told in (await self._on_loop(self.ask_all("tasks"))).items():
            if isinstance(told, Exception):
                problems.append(str(told))
                continue
            for kind, each in from_json(told).items():
                found[kind] += [{"worker": worker, **one} for one in each]
        return {**found, "problems": problems} if problems else found

    async def profile(self, request: ProfileRequest) -> Profile:
        """Where the event loop's thread of one worker spends its time.

        Raises:
            ProfileError: it cannot be told.
        """
        worker = next((worker for worker in self.workers if worker.number == request.worker), None)
        if worker is None:
            raise ProfileError(f"there is no worker {request.worker}: /readyz lists them", HTTPStatus.NOT_FOUND)
        patience = request.seconds + 10 * PATIENCE
        try:
            body = await self._on_loop(worker.ask("profile", patience=patience, **request._asdict()))
        except UnansweredError as error:
            raise ProfileError(str(error), error.status) from None
        return Profile(body, FORMS[request.form])

    async def ask_all(self, what: str, **values: Any) -> dict[int, bytes | UnansweredError]:
        """Each worker's answer, by its number; on the supervisor's own loop."""

        async def ask(worker: Worker) -> bytes | UnansweredError:
            try:
                return await worker.ask(what, **values)
            except UnansweredError as error:
                return error

        workers = [worker for worker in self.workers if worker.status]
        answers = await asyncio.gather(*map(ask, workers))
        return {worker.number: answer for worker, answer in zip(workers, answers, strict=True)}

    async def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    async def questioned(self, what: str, **values: Any) -> list[bytes]:
        """The workers' answers, for another loop; without those that could not answer."""
        answers = await self._on_loop(self.ask_all(what, **values))
        return [told for told in answers.values() if isinstance(told, bytes)]

    def log_stacks(self) -> None:
        """Has the workers log where every task and thread is, and does so itself; may be called by a signal handler."""
        if not self.slots:  # it has no loop yet
            stacks.log()
            return
        stacks.log(self.loop)
        self.loop.call_soon_threadsafe(self._tell_all, "stacks")

    # Its life.

    async def serve(self) -> ExitCode:
        """Starts the workers, keeps them until the service is stopped, drains them; the code says how that went."""
        self.loop = asyncio.get_running_loop()
        self.lifecycle.attach(self.loop)
        self.heartbeat.start()
        for number in range(1, self.settings.workers + 1):
            start = partial(self._start_worker, number, counted=self.totals.take, met=self._introduce)
            self.slots.append(Slot(start, lambda: self._closed, self._note_end))
        keepers = [asyncio.create_task(slot.keep()) for slot in self.slots]
        try:
            await self._live(keepers)
        finally:
            self.heartbeat.stop()
        return self.exit_code

    @property
    def _closed(self) -> bool:
        """Whether workers that end are not replaced: at the start, their end is the end of all."""
        return self.lifecycle.draining or self.lifecycle.state is not State.READY

    def _note_end(self, worker: Worker) -> None:
        self.totals.keep(worker.number)
        if self.lifecycle.draining:
            self._ended.append(worker)
        elif self.lifecycle.state is State.STARTING and self._failure is None:
            self._ended.append(worker)
            self._failure = StartError(f"worker {worker.number} did not start: {_reason(worker)}")

    async def _live(self, keepers: list[asyncio.Task[None]]) -> None:
        await self._start()
        if self._failure is None:
            await self.lifecycle.wait_draining()
        began = self.loop.time()
        await self._drain(began)
        await self._wait_for_end(keepers)
        self.leaving = True
        self._judge()
        await self._clean_up()
        self._finish(self.loop.time() - began)

    async def _start(self) -> None:
        """Returns once all workers are ready, one has failed, or all are to stop."""
        await self._until(lambda: bool(self._failure) or self.lifecycle.draining or self._all_ready())
        if self._failure is not None:
            self.exit_code = ExitCode.START_FAILED
            self.lifecycle.advance(State.FAILED)
            _log.error("lmservice.start_failed", extra={"error": str(self._failure)})
            return
        if self.lifecycle.draining:
            return
        self._has_been_ready = self.lifecycle.advance(State.READY)
        if self._graphite is not None:
            self._graphite.start()
        values = {"url": sockets.url(self._sock), "seconds": round(time.time() - self.started_at, 3)}
        _log.info("lmservice.ready", extra={**values, "workers": {each.number: each.pid for each in self.workers}})

    def _all_ready(self) -> bool:
        self._all_started = all(slot.worker.status.get("started", False) for slot in self.slots)
        return all(slot.worker.state is State.READY for slot in self.slots)

    def _introduce(self, worker: Worker) -> None:
        """Has a new worker log, and show itself, as the others do."""
        if self._watched:
            worker.tell("observe", watched=True)
        for name, change in self.levels.in_force().items():
            worker.tell("level", question=-1, name=name, change=change)

    def _tell_all(self, kind: str) -> None:
        self._tell(self.workers, kind)

    def _tell(self, workers: Iterable[Worker], kind: str, **values: Any) -> None:
        for worker in workers:
            worker.tell(kind, **values)

    async def _drain(self, began: float) -> None:
        """Has the workers drain, and part with the listener that they share when all of them may."""
        if self._failure is not None:
            self.lifecycle.stop(StopCause("failure", hurried=True, failure=str(self._failure)))
        cause = self.lifecycle.cause or StopCause("failure")
        if self._has_been_ready:
            in_flight = sum(worker.status.get("in_flight", 0) for worker in self.workers)
            _log.info("lmservice.draining", extra={"reason": cause.reason, "in_flight": in_flight})
            warn_of_missing_hook(cause)
        for worker in self.workers:
            worker.stop(cause)
        if self.settings.environment == "dev" or not self._has_been_ready:
            self.lifecycle.hurry()
        await self._until(lambda: self._delayed(began))
        self._phases["drain_delay"] = self.loop.time() - began
        await self._part_with_listener()

    def _delayed(self, began: float) -> bool:
        passed, statuses = self.loop.time() - began, [worker.status for worker in self.workers if worker.status]
        if not statuses:
            return True
        quiet = min(each["at"] for each in statuses) - max(each["last_opened"] for each in statuses)
        return delayed(self.settings, self.lifecycle, passed, quiet)

    async def _part_with_listener(self) -> None:
        """Refuses new connections for all at once; where the system cannot, the last worker does, behind the others."""
        workers = self.workers
        if not sockets.refuse_new(self._sock):
            first = workers[:-1]
            self._tell(first, "part", handover=Handover.REFUSE)
            await self._until(lambda: all(not each.alive or each.status.get("refused") for each in first), PARTING)
        self._sock.close()
        self._tell(workers, "part", handover=Handover.REFUSE)

    async def _until(self, done: Callable[[], bool], seconds: float = math.inf) -> bool:
        """Looks now and then; false where it was not so within `seconds`."""
        due = self.loop.time() + seconds
        while not done():
            if self.loop.time() >= due:
                return False
            await asyncio.sleep(TICK)
        return True

    async def _wait_for_end(self, keepers: list[asyncio.Task[None]]) -> None:
        """Waits for the workers, who know their limits; ends those that keep to none."""
        limit = self.settings.drain_timeout + self.settings.cleanup_timeout + CLOSING_SECONDS
        if not await self._until(self._all_ended_or_forced, limit) or self.lifecycle.forced:
            self._tell_all("force")
            await self._until(lambda: not self.workers, FORCED)
        for worker in self.workers:
            self._problems.append(f"worker {worker.number} did not end, and was killed")
            worker.kill()
        await self._until(lambda: not self.workers)
        for keeper in keepers:
            keeper.cancel()

    def _all_ended_or_forced(self) -> bool:
        if self.lifecycle.hurried:
            self._tell_all("hurry")
        return not self.workers or self.lifecycle.forced

    def _judge(self) -> None:
        """Notes what the workers say of their end, and those that could not say anything."""
        for worker in self._ended:
            report = worker.report
            if report is None and worker.status:
                self._problems.append(f"worker {worker.number} had not drained: {_reason(worker)}")
            if report is None:
                continue
            self._problems += [f"worker {worker.number}: {problem}" for problem in report.get("problems", ())]
            for phase in ("drain", "cleanup"):
                self._phases[phase] = max(self._phases[phase], report["phases"][phase])
            if report["exit_code"] and self.exit_code is ExitCode.CLEAN:
                self.exit_code = ExitCode.UNCLEAN
        if self._problems and self.exit_code is ExitCode.CLEAN:
            self.exit_code = ExitCode.UNCLEAN

    async def _clean_up(self) -> None:
        """Sends the last sums to whoever collects them."""
        began = self.loop.time()
        left = 0.0 if self.lifecycle.forced else self.settings.cleanup_timeout - self._phases["cleanup"]
        if self._graphite is not None:
            await self._graphite.finish(min(LAST_FLUSH, max(LAST_FLUSH_LEAST, left)))
        self._phases["cleanup"] += self.loop.time() - began

    def _finish(self, seconds: float) -> None:
        """Tells the end to the log and to whoever asked for it."""
        if self.lifecycle.forced:
            self.exit_code = ExitCode.FORCED
        self.lifecycle.advance(State.STOPPED)
        served, cancelled = self._routes("served_by_route"), self._routes("cancelled_by_route")
        report: dict[str, Any] = {
            "status": "failed" if self._failure else "stopped",
            "seconds": round(seconds, 3),
            "phases": {name: round(seconds, 3) for name, seconds in self._phases.items()},
            "requests": {"served": served.total(), "cancelled": cancelled.total()},
            "exit_code": int(self.exit_code),
        }
        if self._problems:
            report["problems"] = self._problems
        by_route = {"served_by_route": dict(served), "cancelled_by_route": dict(cancelled)}
        _log.info("lmservice.stopped", extra={**report, **by_route})
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            self.report.set_result(report)

    def _routes(self, which: str) -> Counter[str]:
        return sum((Counter(worker.report[which]) for worker in self._ended if worker.report), Counter[str]())


def _reason(worker: Worker) -> str:
    """Why a worker ended, in its own words where it had any."""
    if worker.report and worker.report.get("problems"):
        return "; ".join(worker.report["problems"])
    how = ended(worker.code or 0)
    return f"it was ended by {how['signal']}" if "signal" in how else f"it ended with exit code {how['exit_code']}"


class _Levels(Levels):
    """Log levels, which are the same in all workers."""

    def __init__(self, supervisor: Supervisor) -> None:
        super().__init__()
        self._supervisor = supervisor

    async def told(self) -> dict[str, dict[str, Any]]:
        """What the first worker says that answers, as its loggers are the service's."""
        for told in await self._supervisor.questioned("loggers"):
            found: dict[str, dict[str, Any]] = from_json(told)
            return found
        return self.report()

    async def order(self, name: str, body: bytes) -> dict[str, Any]:
        """Changes a level here, then in all workers."""
        change = self.change(name, body)
        wanted = {key: change[key] for key in ("level", "duration")}
        await self._supervisor.questioned("level", name=name, change=wanted)
        return change
