"""The supervisor: it has the signals, the management listener and the drain, and serves no request itself.

It holds the listening socket open, so that what waits in the queue outlives any worker. A drain is one over all: each
worker says `Connection: close` from its first moment, the delay lasts until none of them has had a new connection, and
the socket refuses new ones for all at once; the workers leave it as its queue is empty, the last one behind the others.
"""

import asyncio
import concurrent.futures
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from lmservice.errors import ExitCode, StartError
from lmservice.lifecycle import Lifecycle, State, StopCause
from lmservice.runtime import stacks
from lmservice.runtime.heartbeat import Heartbeat
from lmservice.runtime.profiling import Profile, ProfileRequest
from lmservice.server.closing import flush
from lmservice.server.drain import Drain
from lmservice.server.life_log import broke_down, warn_of_missing_hook
from lmservice.server.report import by_route, identity, stop_report
from lmservice.service import Service
from lmservice.settings.model import Settings
from lmservice.settings.stop_budget import WORKERS_SECONDS
from lmservice.telemetry.graphite import Graphite
from lmservice.telemetry.logs import Stream
from lmservice.telemetry.metrics import Metrics
from lmservice.web import sockets
from lmservice.workers.entrance import WorkersEntrance, WorkersUnderWay, introduce, kill, tell, until
from lmservice.workers.families import add_families
from lmservice.workers.last_words import LastWords, reason
from lmservice.workers.merge_progress import progress_of
from lmservice.workers.questions import LevelsOfAll, Questions
from lmservice.workers.replacement import Slot, started
from lmservice.workers.totals import Totals
from lmservice.workers.worker import Worker

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from lmservice.telemetry.levels import Levels
    from lmservice.workers.picture import WorkersObservation

_log = logging.getLogger("lmservice.workers")


class Supervisor:
    """The workers of a service as one, which is what the management listener asks.

    Args:
        sock: the service listener's socket, bound; None where the service takes no requests.
        start: starts the worker of a number, whose snapshots go to `counted`.

    Attributes:
        leaving: whether the workers have ended: from here on nothing changes how it ends.
    """

    loop: asyncio.AbstractEventLoop

    def __init__(
        self,
        service: Service,
        settings: Settings,
        stream: Stream,
        sock: socket.socket | None,
        start: Callable[..., Worker],
    ) -> None:
        self.service, self.settings, self.stream = service, settings, stream
        self._sock, self._start_worker = sock, start
        self._begin_life()
        self._compose_telemetry()

    def _begin_life(self) -> None:
        self.started_at = time.time()
        self.lifecycle = Lifecycle()
        limit = self.settings.drain_timeout + self.settings.cleanup_timeout + WORKERS_SECONDS
        self.drain = Drain(self.settings, self.lifecycle, limit)
        self.heartbeat = Heartbeat(self.settings.liveness_stall)
        self.report: concurrent.futures.Future[Mapping[str, Any]] = concurrent.futures.Future()
        self.exit_code, self.leaving = ExitCode.CLEAN, False
        self.slots: list[Slot] = []
        self._ended: list[Worker] = []  # while the service drained
        self._failure: StartError | None = None
        self._all_started = self._has_been_ready = self._watched = False

    def _compose_telemetry(self) -> None:
        self._questions = Questions(self)
        self.levels: Levels = LevelsOfAll(self._questions.answers)
        self._metrics = Metrics()
        self.totals = Totals(self._metrics)
        sums = cast("Metrics", SimpleNamespace(registry=self.totals.of_service(), on_scrape=self._metrics.on_scrape))
        graphite = partial(Graphite, self.settings, sums, fields=self.stream.fields)
        self._graphite = graphite() if self.settings.graphite_url else None
        add_families(self._metrics, self)

    # What may be known of it, from any thread.

    @property
    def workers(self) -> list[Worker]:
        """Return those that have not ended."""
        return [worker for slot in self.slots if (worker := slot.worker).alive]

    @property
    def failure(self) -> str:
        """Return why the start failed; '' where it has not."""
        return str(self._failure or "")

    @property
    def well(self) -> bool:
        """Return whether every worker's event loop turns."""
        return self.heartbeat.well and all(worker.still_for < self.settings.liveness_stall for worker in self.workers)

    @property
    def started(self) -> bool:
        """Return whether every worker's start-up jobs have been done once, before any was replaced."""
        return self._all_started

    @property
    def ready(self) -> bool:
        """Return whether one worker at least can be relied on, and each that serves has its critical checks up.

        One of whose checks nothing is known yet, as it has just been started, is as the others are.
        """
        serving = [slot.worker for slot in self.slots if slot.serves]
        known = [worker for worker in serving if not worker.status.get("awaits_checks")]
        return self.lifecycle.state is State.READY and self.well and bool(known) and all(one.ready for one in known)

    def info(self) -> dict[str, str]:
        """Return name, version and so on of what runs."""
        return identity(self.settings, self.stream)

    def progress(self) -> dict[str, Any]:
        """Return the jobs and checks, of the worker worst off, and the workers themselves."""
        return progress_of(self.workers, self.service.jobs)

    def observation(self) -> "WorkersObservation":
        """Return what draws the picture of all workers."""
        from lmservice.workers.picture import WorkersObservation  # noqa: PLC0415 - costs every start what few look at

        return WorkersObservation(self)

    def watch(self, *, watched: bool) -> None:
        """Have all workers send pictures, and those that come later; or cease to. From any thread."""
        self._watched = watched
        for worker in self.workers:
            worker.picture = b""
            with contextlib.suppress(RuntimeError):  # the loop has ended, and so have they
                self.loop.call_soon_threadsafe(partial(worker.tell, "observe", watched=watched))

    async def registry(self) -> "CollectorRegistry":
        """Return what `/metrics` tells: all workers' as one, as fresh as they answer."""
        await self._questions.ask_all("count")
        return cast("CollectorRegistry", self.totals)

    async def tasks(self) -> dict[str, Any]:
        """Return the stacks of every task and thread, of each worker and its own."""
        return await self._questions.stacks()

    async def profile(self, request: ProfileRequest) -> Profile:
        """Return where the event loop's thread of one worker spends its time, as `Questions.profile` does."""
        return await self._questions.profile(request)

    def log_stacks(self) -> None:
        """Have the workers log where every task and thread is, and do so itself; may be called by a signal handler."""
        if not self.slots:  # it has no loop yet
            stacks.log()
            return
        stacks.log(self.loop)
        self.loop.call_soon_threadsafe(tell, self.workers, "stacks")

    # Its life.

    async def serve(self) -> ExitCode:
        """Start the workers, keep them until the service is stopped, drain them; return how that went."""
        self.loop = asyncio.get_running_loop()
        self.lifecycle.attach(self.loop)
        self.heartbeat.start()
        try:
            await self._fill_slots()
            await self._live([asyncio.create_task(slot.keep()) for slot in self.slots])
        except Exception as error:  # noqa: BLE001 - whoever waits for the report would wait for good
            self.exit_code = ExitCode.UNCLEAN
            kill(self.workers)
            self._finish(0.0, LastWords(self._ended), [broke_down(error)])
        finally:
            self.heartbeat.stop()
        return self.exit_code

    async def _fill_slots(self) -> None:
        """Start the workers, who are replaced once all are ready: at the start, the end of one is the end of all."""
        due = self.loop.time() + self.settings.startup_timeout
        met = partial(introduce, watched=lambda: self._watched, levels=self.levels)
        for number in range(1, self.settings.workers + 1):
            start = partial(self._start_worker, number, counted=self.totals.take, met=met)
            worker = await started(number, start, lambda: self.lifecycle.draining or self.loop.time() >= due)
            if worker is None:
                if not self.lifecycle.draining:
                    self._failure = StartError(f"worker {number} could not be started within LM_STARTUP_TIMEOUT")
                return
            self.slots.append(Slot(worker, start, lambda: self.lifecycle.state is not State.READY, self._note_end))

    def _note_end(self, worker: Worker) -> None:
        self.totals.keep(worker.number)
        if self.lifecycle.draining:
            self._ended.append(worker)
        elif self.lifecycle.state is State.STARTING and self._failure is None:
            self._ended.append(worker)
            self._failure = StartError(f"worker {worker.number} did not start: {reason(worker)}")

    async def _live(self, keepers: list[asyncio.Task[None]]) -> None:
        await self._start()
        if self._failure is None:
            await self.lifecycle.wait_draining()
        began = self.loop.time()
        await self._drain()
        for keeper in keepers:
            keeper.cancel()
        self.leaving = True
        words = LastWords(self._ended)
        problems = self._judge(words)
        await self._clean_up()
        self._finish(self.loop.time() - began, words, problems)

    async def _start(self) -> None:
        """Return once all workers are ready, one has failed, or all are to stop."""
        await until(lambda: bool(self._failure) or self.lifecycle.draining or self._all_ready())
        if self._failure is not None:
            self.exit_code = ExitCode.START_FAILED
            self.lifecycle.advance(State.FAILED)
            _log.error("lmservice.start_failed", extra={"error": self.failure})
            return
        self._has_been_ready = self.lifecycle.advance(State.READY)
        if not self._has_been_ready:  # it has been told to stop
            return
        if self._graphite is not None:
            self._graphite.start()
        url = {"url": sockets.url(self._sock)} if self._sock is not None else {}
        workers = {"workers": {worker.number: worker.pid for worker in self.workers}}
        _log.info("lmservice.ready", extra={**url, "seconds": round(self.lifecycle.uptime, 3), **workers})

    def _all_ready(self) -> bool:
        self._all_started = all(slot.worker.status.get("started", False) for slot in self.slots)
        return all(slot.worker.state is State.READY for slot in self.slots)

    async def _drain(self) -> None:
        """Have the workers drain, and part with the listener that they share when all of them may."""
        if self._failure is not None:
            self.lifecycle.stop(StopCause("failure", hurried=True, failure=self.failure))
        cause = self.lifecycle.cause or StopCause("failure")
        if self._has_been_ready:
            in_flight = sum(worker.status.get("in_flight", 0) for worker in self.workers)
            _log.info("lmservice.draining", extra={"reason": cause.reason, "in_flight": in_flight})
            if self._sock is not None:
                warn_of_missing_hook(cause)
        else:
            self.lifecycle.hurry()
        for worker in self.workers:
            worker.stop(cause)
        await self.drain.run(WorkersEntrance(self, self._sock), [WorkersUnderWay(self)])

    def _judge(self, words: LastWords) -> list[str]:
        """Take over what the workers say of their end; return what was not clean, a line each."""
        problems = [*self.drain.problems, *words.problems()]
        # As long as the slowest worker took; the supervisor waited for all of both.
        self.drain.seconds["drain"], self.drain.seconds["cleanup"] = words.longest("drain"), words.longest("cleanup")
        if (problems or words.unclean) and self.exit_code is ExitCode.CLEAN:
            self.exit_code = ExitCode.UNCLEAN
        return problems

    async def _clean_up(self) -> None:
        left = 0.0 if self.lifecycle.forced else self.settings.cleanup_timeout - self.drain.seconds["cleanup"]
        with self.drain.timed("cleanup"):
            await flush(self._graphite, None, left)

    def _finish(self, seconds: float, words: LastWords, problems: list[str]) -> None:
        """Tell the end to the log and to whoever asked for it."""
        if self.lifecycle.forced:
            self.exit_code = ExitCode.FORCED
        self.lifecycle.advance(State.STOPPED)
        served, cancelled = words.routes("served_by_route"), words.routes("cancelled_by_route")
        report = stop_report(
            failed=self._failure is not None,
            seconds=seconds,
            phases=self.drain.seconds,
            served=served,
            cancelled=cancelled,
            tasks=words.tasks,
            exit_code=self.exit_code,
            problems=problems,
            messages=words.messages,
        )
        _log.info("lmservice.stopped", extra=dict(by_route(report, served, cancelled)))
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            self.report.set_result(report)
