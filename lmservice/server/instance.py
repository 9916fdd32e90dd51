"""One running service: its start, its drain, its clean-up, and what may be known of it meanwhile."""

import asyncio
import concurrent.futures
import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any

from starlette.datastructures import State as RequestState

from lmservice.errors import ExitCode, StartError
from lmservice.jobs.health import CheckMonitor
from lmservice.jobs.periodic import Timetable
from lmservice.jobs.startup import Startup
from lmservice.lifecycle import Drainable, Lifecycle, State, StopCause
from lmservice.messaging.consumers import Consumers
from lmservice.runtime.heartbeat import Heartbeat
from lmservice.runtime.profiling import Profiling
from lmservice.server.background import Background
from lmservice.server.closing import CleanUp
from lmservice.server.consumer_check import ConsumerMonitor
from lmservice.server.drain import Drain, Entrance, Requests
from lmservice.server.entrance import NoEntrance, OwnEntrance, SharedEntrance, SharedListener, new_listener
from lmservice.server.families import add_families
from lmservice.server.life_log import LifeLog, broke_down
from lmservice.server.report import by_route, stop_report
from lmservice.server.start import as_start_error, prepare
from lmservice.server.view import InstanceView
from lmservice.service import Service
from lmservice.settings.model import Settings
from lmservice.settings.stop_budget import CUT_OFF_SECONDS
from lmservice.telemetry import context, metrics
from lmservice.telemetry.graphite import Graphite
from lmservice.telemetry.levels import Levels
from lmservice.telemetry.logs import Stream, current_stream
from lmservice.tracing import tracer
from lmservice.web import sockets
from lmservice.web.lifespan import Lifespan
from lmservice.web.listener import Listener
from lmservice.web.request import RequestLayer
from lmservice.web.routes import RouteTemplates

if TYPE_CHECKING:
    from collections.abc import Mapping


class Instance(InstanceView):
    """A service that runs, once, on the event loop of whoever awaits `serve`.

    Args:
        sock: the service listener's socket, bound; None where the service takes no requests.
        stream: where the access lines go.
        shared: for one of several workers, what it knows of the listener that they share.

    Attributes:
        leaving: whether the clean-up has begun: from here on nothing changes how it ends.
        failure: why the start failed; '' where it has not.
        report: how the stop went, once it is over; to be waited for on any thread.
    """

    def __init__(
        self,
        service: Service,
        settings: Settings,
        sock: socket.socket | None,
        stream: Stream,
        shared: SharedListener | None = None,
    ) -> None:
        self.service, self.settings, self.stream = service, settings, stream
        self._sock, self._shared = sock, shared
        self._log = LifeLog(of_worker=shared is not None, takes_requests=sock is not None)
        self._begin_life()
        self._compose_telemetry()
        self._compose_service()
        add_families(self)

    def _begin_life(self) -> None:
        self.started_at = time.time()
        self.lifecycle = Lifecycle() if self._shared is None else Lifecycle(self._shared.worker)
        self.drain = Drain(self.settings, self.lifecycle, self.settings.drain_timeout)
        self.heartbeat = Heartbeat(self.settings.liveness_stall)
        self.report: concurrent.futures.Future[Mapping[str, Any]] = concurrent.futures.Future()
        self.exit_code, self.failure = ExitCode.CLEAN, ""
        self.leaving = self._has_begun = False

    def _compose_telemetry(self) -> None:
        self.metrics = self.service.metrics
        self.metrics.begin_run()
        self.levels, self._profiling = Levels(), Profiling()
        self._tracer = tracer.tracer(self.stream.fields)
        pushes = self.settings.graphite_url and self._shared is None  # of workers, their supervisor pushes the sums
        self._graphite = Graphite(self.settings, self.metrics, fields=self.stream.fields) if pushes else None

    def _compose_service(self) -> None:
        """Make what a request passes, from the outside in, and what runs beside the requests."""
        app, templates = self.service.app, RouteTemplates(self.service.app)
        self._state: dict[str, Any] = {"settings": self.settings, "lifecycle": self.lifecycle}
        self.listener: Listener | None = None
        self._layer = RequestLayer(
            app, self.settings, self.lifecycle, self.metrics, templates, self.stream, self._tracer
        )
        self._lifespan = Lifespan(app, self._state, self._stop_broken)
        self.startup: Startup | None = None
        self._clients = contextlib.AsyncExitStack()
        self.monitors: list[CheckMonitor] = [CheckMonitor(check) for check in self.service.checks]
        for client in self.service.clients:
            client.configure(self.settings)
        self._timetable = Timetable(self.service.periodic_jobs, self.lifecycle, self.metrics, self.settings)
        self._consumers = Consumers(self.service.consumers, self.lifecycle, self.metrics)
        critical = not self.service.takes_requests
        self.monitors += [ConsumerMonitor(run, critical=critical) for run in self._consumers.runs]
        self._background = Background(self.monitors, self._timetable, self._consumers, self._layer)

    async def serve(self) -> ExitCode:
        """Start, serve until it is stopped, drain, clean up; return the code that says how that went."""
        current_stream.set(self.stream)
        metrics.current.set(self.metrics)
        context.tracer.set(self._tracer)
        self.loop = asyncio.get_running_loop()
        self.lifecycle.attach(self.loop)
        self.heartbeat.start()
        self.startup = Startup(self.service.jobs, self._state, on_broken=self._stop_broken)
        try:
            await self._live(self.startup)
        except Exception as error:  # noqa: BLE001 - whoever waits for the report would wait for good
            self.exit_code = ExitCode.UNCLEAN
            self._finish(0.0, [broke_down(error)])
        finally:
            self.heartbeat.stop()
        return self.exit_code

    async def _live(self, startup: Startup) -> None:
        failure = await self._start(startup)
        if failure is None and not self.lifecycle.draining:
            await self.lifecycle.wait_draining()
        began = self.loop.time()
        if self._has_begun:
            await self._drain()
        self.leaving = True
        problems = await self._clean_up(startup)
        self._finish(self.loop.time() - began, [*([str(failure)] if failure else []), *problems])

    async def _start(self, startup: Startup) -> StartError | None:
        """Get ready, unless told to stop first; return why it could not."""
        start = asyncio.create_task(self._get_ready(startup), name="start")
        stopping = asyncio.create_task(self.lifecycle.wait_draining())
        await asyncio.wait([start, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            start.cancel()
            await asyncio.wait([start], timeout=CUT_OFF_SECONDS)
            return None
        stopping.cancel()
        return self._note_failure(as_start_error(error)) if (error := start.exception()) else None

    def _note_failure(self, error: StartError) -> StartError:
        self.exit_code, self.failure = ExitCode.START_FAILED, str(error)
        self.lifecycle.advance(State.FAILED)
        self._log.start_failed(error)
        return error

    async def _get_ready(self, startup: Startup) -> None:
        limit = self.settings.startup_timeout
        await prepare(startup, self._lifespan, clients=self.service.clients, opened=self._clients, limit=limit)
        self._has_begun = True
        if self._sock is not None:
            self.listener = new_listener(self.settings, self._layer, self._sock, self._state, self._shared)
            await self.listener.start()
        self._begin_background()
        self.lifecycle.advance(State.READY)
        if self._graphite is not None:
            self._graphite.start()
        url = sockets.url(self._sock) if self._sock is not None else None
        self._log.ready(url, self.lifecycle.uptime, startup)

    def _begin_background(self) -> None:
        self._background.begin(self.listener, RequestState(self._state))

    def _stop_broken(self, failure: str) -> None:
        """Stop, as something has ended that requests need; a stop that is under way is not clean any longer."""
        self.exit_code = ExitCode.UNCLEAN
        self.lifecycle.stop(StopCause("failure", failure=failure))

    async def _drain(self) -> None:
        self._log.draining(self.lifecycle.cause or StopCause("failure"), self.in_flight)
        if self.listener is not None:
            self.listener.draining = True
        await self.drain.run(self._entrance(self.listener), self._drainables(), at_once=[self._consumers])
        if self.drain.unclean:
            self.exit_code = ExitCode.UNCLEAN

    def _drainables(self) -> list[Drainable]:
        if self.listener is None:
            return [self._timetable]
        return [Requests(self.listener, self._layer, self.lifecycle), self._timetable]

    def _entrance(self, listener: Listener | None) -> Entrance:
        if listener is None:
            return NoEntrance()
        if self._shared is not None:
            return SharedEntrance(listener, self.settings, self.lifecycle, self._shared)
        return OwnEntrance(listener, self.settings, self.lifecycle)

    async def _clean_up(self, startup: Startup) -> list[str]:
        """Run the clean-up; return what was not clean in the whole stop, a line each."""
        self._background.end()
        clean_up = CleanUp(
            self.settings,
            self.lifecycle,
            lifespan=self._lifespan,
            clients=self._clients,
            graphite=self._graphite,
            tracer=self._tracer,
        )
        with self.drain.timed("cleanup"):
            await clean_up.run(startup)
        problems = self.drain.problems + clean_up.problems
        if problems and self.exit_code is ExitCode.CLEAN:
            self.exit_code = ExitCode.UNCLEAN
        return problems

    def _finish(self, seconds: float, problems: list[str]) -> None:
        """Tell the end to the log and to whoever asked for it."""
        if self.lifecycle.forced:
            self.exit_code = ExitCode.FORCED
        self.lifecycle.advance(State.STOPPED)
        left = self._layer.left_tasks()
        self._log.left_tasks(left)
        report = stop_report(
            failed=bool(self.failure),
            seconds=seconds,
            phases=self.drain.seconds,
            served=self._layer.answered_in_drain,
            cancelled=self._layer.cut_by_route,
            tasks=len(left),
            exit_code=self.exit_code,
            problems=problems,
            messages=self._consumers.in_stop() if self._consumers.runs else None,
        )
        whole = by_route(report, self._layer.answered_in_drain, self._layer.cut_by_route)
        self._log.stopped(whole)
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            self.report.set_result(report if self._shared is None else whole)
