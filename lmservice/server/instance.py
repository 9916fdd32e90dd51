"""One running service: its start, its drain, its clean-up, and what may be known of it meanwhile."""

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import platform
import socket
import time
import traceback
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from starlette.datastructures import State as RequestState

from lmservice import names
from lmservice.errors import ExitCode, LmserviceError, StartError
from lmservice.jobs.health import CheckMonitor
from lmservice.jobs.periodic import Timetable
from lmservice.jobs.startup import Startup, Status
from lmservice.lifecycle import Lifecycle, State, StopCause
from lmservice.runtime import stacks
from lmservice.runtime.heartbeat import Heartbeat
from lmservice.runtime.profiling import Profile, ProfileRequest, Profiling
from lmservice.service import Service
from lmservice.settings.model import Settings
from lmservice.telemetry import context, metrics
from lmservice.telemetry.graphite import Graphite
from lmservice.telemetry.levels import Levels
from lmservice.telemetry.logs import Stream, printable, speaker
from lmservice.telemetry.metrics import Samples
from lmservice.tracing import tracer
from lmservice.version import __version__
from lmservice.web import sockets
from lmservice.web.connections import HttpToolsConnection, Listener, Watched
from lmservice.web.lifespan import Lifespan
from lmservice.web.request import RequestLayer
from lmservice.web.routes import RouteTemplates

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from lmservice.console.picture import Observation

TICK = 0.05
"""How often a drain looks at how far it is, in seconds."""
SWEEP = 0.5
"""How often overdue heads and requests are looked for, in seconds."""
LAST_WORDS = 1.0
"""What work that was cut off has to end itself, in seconds."""
LAST_FLUSH = 2.0
"""What the last metrics and spans have of the clean-up to be sent, in seconds, …"""
LAST_FLUSH_LEAST = 0.5
"""… and what they have where nothing is left of that, or the stop is forced."""

_log = logging.getLogger("lmservice.instance")


class Handover(StrEnum):
    """How a worker parts with the listener that it shares."""

    LEAVE = "leave"
    """The others go on accepting."""
    REFUSE = "refuse"
    """Nobody is to connect any longer."""


class SharedListener:
    """What one of several workers does in step with the others, told by their supervisor; used from two threads.

    Attributes:
        worker: its number, from 1.
        ahead: whether the others should take the next connection, as it has so many.
        handover: how to part with the listener that they share, once it is time.
        left_alone: whether the supervisor has gone, so that it goes by its own clock.
        refused: set once it has parted with the listener.
    """

    def __init__(self, worker: int, ahead: Callable[[int], bool]) -> None:
        self.worker, self.ahead = worker, ahead
        self.handover: Handover | None = None
        self.left_alone = self.refused = False


class Instance:
    """A service that runs, once, on the event loop of whoever awaits `serve`.

    Args:
        sock: the service listener's socket, bound.
        stream: where the access lines go.
        shared: for one of several workers, what it does in step with the others.
    """

    def __init__(
        self,
        service: Service,
        settings: Settings,
        sock: socket.socket,
        stream: Stream,
        shared: SharedListener | None = None,
    ) -> None:
        self.service = service
        self.settings = settings
        self.lifecycle = Lifecycle() if shared is None else Lifecycle(shared.worker)
        self.metrics = service.metrics
        self.report: concurrent.futures.Future[dict[str, Any]] = concurrent.futures.Future()
        self.started_at = time.time()
        self.heartbeat = Heartbeat(settings.liveness_stall)
        self.loop: asyncio.AbstractEventLoop
        self.exit_code = ExitCode.CLEAN
        self.failure = ""
        """Why the start failed."""
        self.leaving = False
        """Whether the clean-up has begun: from here on nothing changes how it ends."""
        self._state: dict[str, Any] = {"settings": settings, "lifecycle": self.lifecycle}
        self._sock = sock
        self.stream = stream
        self._tracer = tracer.tracer(stream.fields)
        templates = RouteTemplates(service.app)
        self._layer = RequestLayer(
            service.app, settings, self.lifecycle, service.metrics, templates, stream, self._tracer
        )
        self._startup: Startup | None = None
        self._lifespan = Lifespan(service.app, self._state)
        self._listener: Listener | None = None
        self._monitors = [CheckMonitor(check) for check in service.checks]
        self._timetable = Timetable(service.periodic_jobs, self.lifecycle, service.metrics)
        self._background: list[asyncio.Task[Any]] = []
        self._clients = contextlib.AsyncExitStack()
        self.levels = Levels()
        self._profiling = Profiling()
        self._shared = shared
        pushes = settings.graphite_url and shared is None  # of workers, their supervisor pushes the sums
        self._graphite = Graphite(settings, service.metrics) if pushes else None
        self.phase = ""
        """What a stop is at: `drain_delay`, `drain`, `cleanup`; '' before."""
        self.phase_since = 0.0
        self._phases = {"drain_delay": 0.0, "drain": 0.0, "cleanup": 0.0}
        self._problems: list[str] = []
        self._observe()

    # What may be known of it, from any thread.

    @property
    def well(self) -> bool:
        """Whether the event loop turns."""
        return self.heartbeat.well

    @property
    def started(self) -> bool:
        """Whether the start-up jobs are done."""
        if self._startup is None:
            return False
        return all(run.status is Status.DONE for run in self._startup.runs.values())

    @property
    def ready(self) -> bool:
        """Whether requests should come."""
        return self.lifecycle.state is State.READY and not any(monitor.takes_down for monitor in self._monitors)

    def info(self) -> dict[str, str]:
        """Name, version and so on of what runs."""
        return identity(self.settings, self.stream)

    @property
    def last_opened(self) -> float:
        """When a connection last came, in seconds of the system's monotonic clock."""
        return self._listener.last_opened if self._listener is not None else 0.0

    @property
    def in_flight(self) -> int:
        """How many requests are under way."""
        return len(self._layer.in_flight)

    async def registry(self) -> "CollectorRegistry":
        """What `/metrics` tells."""
        return self.metrics.registry

    async def tasks(self) -> dict[str, Any]:
        """The stacks of every thread, and of every task of its loop and of the loop that asks."""
        return stacks.snapshot(self.loop, asyncio.get_running_loop())

    def log_stacks(self) -> None:
        """Logs where every task and thread is; may be called from a signal handler."""
        stacks.log(*([self.loop] if self._startup is not None else []))

    async def profile(self, request: ProfileRequest) -> Profile:
        """Where the event loop's thread spends its time.

        Raises:
            ProfileError: it cannot be told.
        """
        return await self._profiling.take(self.loop, request)

    def progress(self) -> dict[str, Any]:
        """How far the start-up jobs are, what the checks say, and how the periodic jobs go."""
        pending = {"status": Status.PENDING.value, "attempts": 0, "seconds": 0.0}
        jobs = self._startup.report() if self._startup else {job.name: dict(pending) for job in self.service.jobs}
        checks = {monitor.check.name: monitor.report() for monitor in self._monitors}
        return {"startup_jobs": jobs, "checks": checks, "periodic_jobs": self._timetable.report()}

    @property
    def startup(self) -> Startup | None:
        """The start-up jobs; None before they begin."""
        return self._startup

    @property
    def listener(self) -> Listener | None:
        """The service's listener; None before it is open."""
        return self._listener

    def observation(self) -> "Observation":
        """What a person is shown of it."""
        from lmservice.console.picture import Observation  # noqa: PLC0415 - costs every start what few look at

        return Observation(self, self._layer, self._monitors, self._timetable)

    def _enter(self, phase: str) -> None:
        self.phase, self.phase_since = phase, time.time()

    def _observe(self) -> None:
        labels = {**self.info(), "python": platform.python_version()}
        labels["service"] = labels.pop("name")
        del labels["instance"]  # Prometheus has its own
        self.metrics.observed(
            names.BUILD_INFO,
            "What runs, in the labels.",
            list(labels),
            lambda: [(list(labels.values()), 1.0)],
            multiprocess_mode="max",
        )
        observed = self.metrics.observed
        observed(
            names.LOG_LINES_DROPPED,
            "Log lines dropped as nobody read standard output.",
            (),
            lambda: [((), float(self.stream.output.dropped))],
            kind="counter",
        )
        observed(names.STATE, "1 for the state that the service is in.", ("state",), self._states)
        observed(
            names.READY,
            "1 while requests should come, as /readyz says it, else 0.",
            (),
            lambda: [((), float(self.ready))],
        )
        observed(
            names.STARTUP_JOB_DURATION,
            "How long each start-up job took.",
            ("job",),
            self._job_seconds,
            multiprocess_mode="max",
        )
        observed(
            names.HEALTH_CHECK_STATUS,
            "1 for a check that is up, 0 for one that is down.",
            ("check",),
            self._checks,
            multiprocess_mode="min",
        )
        observed(
            names.EVENT_LOOP_LAG,
            "How late the event loop was at its last mark, or is by now.",
            (),
            lambda: [((), max(self.heartbeat.lag, self.heartbeat.still_for()))],
            multiprocess_mode="max",
        )

    def _states(self) -> Samples:
        now = self.lifecycle.state
        return [((state.value,), float(state is now)) for state in State]

    def _job_seconds(self) -> Samples:
        runs = self._startup.runs.values() if self._startup else ()
        return [((run.name,), run.seconds) for run in runs if run.status is Status.DONE]

    def _checks(self) -> Samples:
        known = [monitor for monitor in self._monitors if monitor.status != "unknown"]
        return [((monitor.check.name,), float(monitor.status == "up")) for monitor in known]

    # Its life.

    async def serve(self) -> ExitCode:
        """Starts, serves until it is stopped, drains, cleans up; the code says how that went."""
        speaker.set(self.stream)
        metrics.current.set(self.metrics)
        context.tracer.set(self._tracer)
        self.loop = asyncio.get_running_loop()
        self.lifecycle.attach(self.loop)
        self.heartbeat.start()
        self._startup = Startup(self.service.jobs, self._state)
        try:
            await self._live()
        finally:
            self.heartbeat.stop()
        return self.exit_code

    async def _live(self) -> None:
        failure = await self._start()
        if failure is None and not self.lifecycle.draining:
            await self._until_stopped()
        began = self.loop.time()
        if failure is None and self._listener is not None:
            await self._drain(self._listener)
        self.leaving = True
        await self._clean_up()
        self._finish(failure, self.loop.time() - began)

    async def _start(self) -> StartError | None:
        """Gets ready, unless told to stop first; gives why it could not."""
        start = asyncio.create_task(self._get_ready(), name="start")
        stopping = asyncio.create_task(self.lifecycle.wait_draining())
        await asyncio.wait([start, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            start.cancel()
            await asyncio.wait([start], timeout=LAST_WORDS)
            return None
        stopping.cancel()
        error = start.exception()
        if error is None:
            return None
        if not isinstance(error, StartError):
            error = StartError(f"the service could not start: {type(error).__name__}: {error}")
            error.__cause__ = start.exception()
        self.exit_code, self.failure = ExitCode.START_FAILED, str(error)
        self.lifecycle.advance(State.FAILED)
        cause = error.__cause__
        told = cause is None or isinstance(cause, LmserviceError)  # a message that was written for people
        trace = "" if told else "".join(traceback.format_exception(cause)).rstrip()
        self._say("start_failed", {"error": str(error)} | ({"exception": trace} if trace else {}), logging.ERROR)
        return error

    async def _get_ready(self) -> None:
        assert self._startup is not None  # noqa: S101 - set by serve
        began = self.loop.time()
        limit = self.settings.startup_timeout
        for client in self.service.clients:
            await self._clients.enter_async_context(client)
        with context.span("startup", attributes={}):
            await self._startup.run(limit)
        try:
            async with asyncio.timeout_at(began + limit):
                await self._lifespan.start()
        except TimeoutError:
            raise StartError(f"the app's lifespan did not start within LM_STARTUP_TIMEOUT, {limit:g} s") from None
        self._listener = Listener(
            self._layer,
            self._sock,
            protocol=_protocol(self.settings),
            keep_alive_timeout=self.settings.keep_alive_timeout,
            head_timeout=self.settings.head_timeout,
            state=self._state,
            ahead=self._shared.ahead if self._shared is not None else None,
        )
        await self._listener.start()
        state = RequestState(self._state)
        for monitor in self._monitors:
            self._in_background(monitor.poll_forever(state), f"health check {monitor.check.name}")
        for schedule in self._timetable.schedules:
            self._in_background(schedule.run_forever(state), f"schedule of periodic job {schedule.job.name}")
        self._in_background(self._sweep(self._listener), "sweep")
        self.lifecycle.advance(State.READY)
        if self._graphite is not None:
            self._graphite.start()
        self._log_ready()

    def _in_background(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._background.append(asyncio.create_task(work, name=name))

    async def _sweep(self, listener: Listener) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            listener.sweep()
            self._layer.end_overdue()

    def _log_ready(self) -> None:
        assert self._startup is not None  # noqa: S101 - set by serve
        jobs = {name: run.seconds for name, run in self._startup.runs.items()}
        values = {
            "url": sockets.url(self._sock),
            "seconds": round(time.time() - self.started_at, 3),
            "startup_jobs": {name: round(seconds, 3) for name, seconds in jobs.items()},
            "critical_path": self._startup.critical_path(),
        }
        self._say("ready", values)

    async def _until_stopped(self) -> None:
        """Waits for the order to stop, which a start-up job gives that breaks down after its start."""
        assert self._startup is not None  # noqa: S101 - set by serve
        stopping = asyncio.create_task(self.lifecycle.wait_draining())
        broken = asyncio.create_task(self._startup.broken.wait())
        await asyncio.wait([stopping, broken], return_when=asyncio.FIRST_COMPLETED)
        if self._startup.broken.is_set():
            self.exit_code = ExitCode.UNCLEAN
            self.lifecycle.stop(StopCause("failure", failure="a start-up job ended while it was needed"))
        stopping.cancel()
        broken.cancel()

    async def _drain(self, listener: Listener) -> None:
        cause = self.lifecycle.cause or StopCause("failure")
        self._log_draining(cause)
        if self.settings.environment == "dev":
            self.lifecycle.hurry()
        self._enter("drain_delay")
        began = self.loop.time()
        await self._delay(listener, began)
        self._phases["drain_delay"] = self.loop.time() - began
        self._enter("drain")
        began = self.loop.time()
        await self._part_with(listener)
        listener.close_websockets()
        await self._wait_for_quiet(listener, began)
        await listener.close()
        self._phases["drain"] = self.loop.time() - began

    async def _part_with(self, listener: Listener) -> None:
        if self._shared is None:
            await listener.refuse()
            return
        if self._shared.handover is Handover.LEAVE:
            listener.leave()
        else:
            await listener.refuse()
        self._shared.refused = True

    def _log_draining(self, cause: StopCause) -> None:
        values = {"reason": cause.reason, "in_flight": len(self._layer.in_flight)}
        self._say("draining", values | ({"failure": cause.failure} if cause.failure else {}))
        if self._shared is None:
            warn_of_missing_hook(cause)

    def _say(self, what: str, values: dict[str, Any], level: int = logging.INFO) -> None:
        """Logs a step of its life: the service's, where no other worker has a part in it."""
        of_worker = "" if self._shared is None else "worker_"
        _log.log(level, f"lmservice.{of_worker}{what}", extra=values)

    async def _delay(self, listener: Listener, began: float) -> None:
        """Goes on accepting, as whoever routes requests here learns of the stop only now."""
        while True:
            if self._delayed(listener.last_opened, self.loop.time() - began):
                return
            await asyncio.sleep(TICK)

    def _delayed(self, last_opened: float, passed: float) -> bool:
        if self._shared is not None and not self._shared.left_alone:
            return self._shared.handover is not None
        return delayed(self.settings, self.lifecycle, passed, self.loop.time() - last_opened)

    async def _wait_for_quiet(self, listener: Listener, began: float) -> None:
        """Waits for what is in flight, periodic jobs too, then for those connected; cuts off what takes too long."""
        while listener.open or listener.tasks or self._timetable.running:
            now = self.loop.time()
            if now - began >= self.settings.drain_timeout or self.lifecycle.forced:
                await self._cut_off(listener)
                return
            if self.lifecycle.hurried or now - began >= self.settings.idle_grace:
                listener.close_idle()
            await asyncio.sleep(TICK)

    async def _cut_off(self, listener: Listener) -> None:
        tasks = set(listener.tasks)
        runs = self._timetable.cut_off()
        if not tasks and not runs:
            return
        self._layer.cut_off(tasks)
        tasks |= runs
        self.exit_code = ExitCode.UNCLEAN
        patience = LAST_WORDS / 10 if self.lifecycle.forced else LAST_WORDS
        await asyncio.wait(tasks, timeout=patience)
        flushed = self.loop.time() + patience
        while listener.open and self.loop.time() < flushed:
            listener.close_idle(0)
            await asyncio.sleep(TICK)
        stubborn = sum(not task.done() for task in tasks)
        _log.error(
            "lmservice.cut_off", extra={"limit": self.settings.drain_timeout, "tasks": len(tasks), "left": stubborn}
        )
        limit = "a second SIGINT" if self.lifecycle.forced else f"LM_DRAIN_TIMEOUT, {self.settings.drain_timeout:g} s"
        self._problems += self._timetable.problems(limit)

    async def _clean_up(self) -> None:
        """The app's own shut-down, then the clean-up of the start-up jobs, in reverse; each whatever the other does.

        The service's clients are closed last: jobs may have needed them to the end.
        """
        self._enter("cleanup")
        began = self.loop.time()
        limit = self.settings.cleanup_timeout
        for task in self._background:
            task.cancel()
        try:
            async with asyncio.timeout(limit):
                await self._lifespan.stop()
        except TimeoutError:
            self._problems.append(f"the app's lifespan was cut off by LM_CLEANUP_TIMEOUT, {limit:g} s")
        except Exception as error:  # noqa: BLE001 - the rest of the clean-up goes on
            self._problems.append(str(error))
            _log.exception("the app's lifespan failed to shut down")
        if self._startup is not None:
            left = max(0.0, limit - (self.loop.time() - began))
            self._problems += await self._startup.clean_up(left, limit)
        await self._close_clients()
        if self._problems and self.exit_code is ExitCode.CLEAN:
            self.exit_code = ExitCode.UNCLEAN
        await self._flush(0.0 if self.lifecycle.forced else limit - (self.loop.time() - began))
        self._phases["cleanup"] = self.loop.time() - began

    async def _flush(self, left: float) -> None:
        """Sends the last metrics and spans to whoever collects them, in what is left of the clean-up, in seconds."""
        limit = min(LAST_FLUSH, max(LAST_FLUSH_LEAST, left))
        async with asyncio.TaskGroup() as flushing:
            if self._graphite is not None:
                flushing.create_task(self._graphite.finish(limit))
            if self._tracer is not None:
                flushing.create_task(self._tracer.close(limit))

    async def _close_clients(self) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS):
                await self._clients.aclose()
        except Exception as error:  # noqa: BLE001 - the end must be told whatever happens
            self._problems.append(f"the service's clients could not be closed: {type(error).__name__}: {error}")

    def _finish(self, failure: StartError | None, seconds: float) -> None:
        """Tells the end to the log and to whoever asked for it."""
        if self.lifecycle.forced:
            self.exit_code = ExitCode.FORCED
        self.lifecycle.advance(State.STOPPED)
        layer = self._layer
        report: dict[str, Any] = {
            "status": "failed" if failure else "stopped",
            "seconds": round(seconds, 3),
            "phases": {name: round(seconds, 3) for name, seconds in self._phases.items()},
            "requests": {"served": layer.answered_in_drain.total(), "cancelled": layer.cut_by_route.total()},
            "exit_code": int(self.exit_code),
        }
        problems = ([str(failure)] if failure else []) + self._problems
        if problems:
            report["problems"] = problems
        by_route = {"served_by_route": dict(layer.answered_in_drain), "cancelled_by_route": dict(layer.cut_by_route)}
        self._say("stopped", {**report, **by_route})
        if self._shared is not None:
            report |= by_route
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            self.report.set_result(report)


def identity(settings: Settings, stream: Stream) -> dict[str, str]:
    """Name, version and so on of what runs, as every log line of it says."""
    said = {name: value for name, value in stream.fields.items() if name != "worker"}
    return {
        "name": said.pop("service"),
        **said,
        "revision": printable(settings.revision),
        "lmservice": __version__,
    }


def delayed(settings: Settings, lifecycle: Lifecycle, passed: float, quiet: float) -> bool:
    """Whether a listener that drains may refuse new connections.

    Args:
        settings: how long it stays.
        lifecycle: the drain may have been hurried.
        passed: since the drain began, in seconds.
        quiet: since the last connection came, in seconds.
    """
    longest = max(settings.drain_delay_max, settings.drain_delay)
    return lifecycle.hurried or passed >= longest or (passed >= settings.drain_delay and quiet >= settings.drain_quiet)


def warn_of_missing_hook(cause: StopCause) -> None:
    """Logs it where Kubernetes has ended a pod without the hook that stops the service before."""
    if cause.reason == "SIGTERM" and "KUBERNETES_SERVICE_HOST" in os.environ:
        _log.warning(
            "lmservice.no_pre_stop",
            extra={
                "hint": "SIGTERM came without /stop before it: the pod's preStop hook is probably missing, so that"
                " requests may still be sent here; let it run stop_helper.sh or 'lmservice stop'"
            },
        )


def _protocol(settings: Settings) -> type[Watched]:
    if settings.http != "h11":
        return HttpToolsConnection
    from lmservice.web.h11 import H11Connection  # noqa: PLC0415 - costs every start what few use

    return H11Connection
