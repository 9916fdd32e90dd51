"""Periodic jobs: run again and again while the service is ready, never two runs of one job at a time.

The first run comes at a random moment within `every`, so that the instances of a service, started together, do not
run together; from there on `every` passes from begin to begin, give or take `JITTER` of it, so that they do not fall
into step either, and the mean stays `every`. The periods that pass while a run goes on are skipped, not made up for.

No run begins once the service has been told to stop. The one under way has `LM_DRAIN_TIMEOUT` to end, with everything
that the start-up jobs made still there; past it its task is cancelled. The thread of a plain function cannot be: it
is left behind, and the log says so.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from lmservice import names
from lmservice.errors import one_line
from lmservice.jobs.periodic_job import PeriodicJob
from lmservice.jobs.turns import TurnTaker
from lmservice.lifecycle import CutOff, Lifecycle
from lmservice.telemetry import context
from lmservice.telemetry.metrics import Durations, Metrics, Samples
from lmservice.timestamps import rfc3339

if TYPE_CHECKING:
    from starlette.datastructures import State

JITTER = 0.1
"""How far the time from one begin to the next may be off `every`, as a share of it."""

Outcome = Literal["success", "failure", "cancelled"]

_log = logging.getLogger("lmservice.periodic")


class Schedule:
    """When one periodic job runs, and how its runs have gone.

    Attributes:
        every: from the begin of one run to the begin of the next, in seconds.
        runs: how many runs have ended, by their outcome.
        skipped: how many periods a run took that was longer than one.
        last_success: when a run last succeeded, in seconds since the epoch.
        last_error: what the last run failed with, by its kind; None where it succeeded.
        failure: the same with its message, which is not for everybody; '' where it succeeded.
        seconds: how long the last run took.
    """

    def __init__(
        self,
        job: PeriodicJob,
        every: float,
        lifecycle: Lifecycle,
        durations: Durations,
        clock: Callable[[], float],
        turn_taker: TurnTaker | None = None,
    ) -> None:
        self.job, self.every = job, every
        self.runs: Counter[Outcome] = Counter({"success": 0, "failure": 0, "cancelled": 0})
        self.skipped = 0
        self.last_success: float | None = None
        self.last_error: str | None = None
        self.failure = ""
        self.seconds: float | None = None
        self.began: float | None = None
        """When the last run began, in seconds since the epoch."""
        self.task: asyncio.Task[Any] | None = None
        """The run under way."""
        self.cut = False
        """Whether the last run was cut off."""
        self._run_began: float | None = None
        self._lifecycle = lifecycle
        self._observe = durations.child(job.name).observe
        self._clock = clock
        self._turn_taker = turn_taker

    @property
    def running(self) -> bool:
        """Return whether a run is under way."""
        return self.task is not None

    @property
    def running_for(self) -> float:
        """Return how long the run under way has lasted, in seconds; 0 where none is."""
        began = self._run_began
        return self._clock() - began if began is not None else 0.0

    def report(self) -> dict[str, Any]:
        """Return what the probes say of it; of an error only its kind, as probes answer anybody."""
        idle = "stopped" if self._lifecycle.draining else "waiting"
        return {
            "status": "running" if self.running else idle,
            "runs": self.runs.total(),
            "failures": self.runs["failure"],
            "skipped": self.skipped,
            "last_success": rfc3339(self.last_success) if self.last_success is not None else None,
            "last_error": self.last_error,
            "seconds": round(self.seconds, 6) if self.seconds is not None else None,
        }

    async def run_forever(self, state: "State") -> None:
        """Run the job when its time has come, until the service drains."""
        if self._turn_taker is not None:
            await self._run_turns(state, self._turn_taker)
            return
        begin = self._clock() + self.every * random.random()
        while not self._lifecycle.draining:
            await asyncio.sleep(begin - self._clock())
            await self._run_apart(state)
            begin = self._after(begin)

    async def _run_turns(self, state: "State", turn_taker: TurnTaker) -> None:
        """Run the job in each turn that is this instance's."""
        while not self._lifecycle.draining:
            if await turn_taker.next():
                await self._run_apart(state)

    async def _run_apart(self, state: "State") -> None:
        run = asyncio.create_task(self._run(state), name=f"periodic job {self.job.name}")
        await asyncio.wait([run])

    def _after(self, begin: float) -> float:
        """Return when the next run begins; one that took less than `every` puts it off by no more than the jitter."""
        every, now = self.every, self._clock()
        passed = max(0, int((now - begin) // every))  # an alarm may ring a little early
        self.skipped += passed
        return max(now, begin + every * (passed + random.uniform(1 - JITTER, 1 + JITTER)))

    async def _run(self, state: "State") -> None:
        """Run the job once, in a task of its own."""
        if self._lifecycle.draining:  # asked as late as can be: the stop may have come since the alarm rang
            return
        self.task = asyncio.current_task()
        self.began = time.time()
        self._run_began = began = self._clock()
        name = self.job.name
        try:
            with context.span(f"periodic job {name}", attributes={"lmservice.job": name}) as span:
                error = await self._outcome(state)
                if error is not None:
                    span.fail(type(error).__name__)
                self._end(self._clock() - began, error)
        finally:
            self.task = self._run_began = None

    async def _outcome(self, state: "State") -> BaseException | None:
        """Return what the job raised, whatever its kind: SystemExit would otherwise end the loop."""
        try:
            await self.job.registered.call(state)
        except BaseException as error:  # noqa: BLE001 - it is the job's
            return error
        return None

    def _end(self, seconds: float, error: BaseException | None) -> None:
        outcome: Outcome = "cancelled" if self.cut else "failure" if error is not None else "success"
        self.runs[outcome] += 1
        self.seconds = seconds
        self._observe(seconds)
        values = {"job": self.job.name, "seconds": round(seconds, 6)}
        if outcome == "success":
            self.last_success, self.last_error, self.failure = time.time(), None, ""
            _log.debug("lmservice.periodic_job_done", extra=values)
            return
        self.last_error = type(error).__name__ if error is not None else None
        self.failure = one_line(error) if error is not None else ""
        if outcome == "failure":
            _log.error("lmservice.periodic_job_failed", exc_info=error, extra=values)


class Timetable:
    """The periodic jobs of one instance, with their metrics.

    Args:
        jobs: as they were registered, their names all different.
        lifecycle: no run begins once it drains.
        metrics: get the families of all periodic jobs, in the place of those of an instance before.
        settings: the service's, of which `every` may be a function.
        clock: seconds that only grow; default `time.monotonic`.
    """

    def __init__(
        self,
        jobs: Sequence[PeriodicJob],
        lifecycle: Lifecycle,
        metrics: Metrics,
        settings: object,
        clock: Callable[[], float] | None = None,
    ) -> None:
        durations = metrics.durations(
            names.PERIODIC_JOB_DURATION, "How long the runs of periodic jobs took, in seconds.", ("job",)
        )
        clock = clock or time.monotonic
        self.schedules = [
            Schedule(job, job.seconds(settings), lifecycle, durations, clock, job.turn_taker(settings)) for job in jobs
        ]
        self._add_families(metrics)

    def _add_families(self, metrics: Metrics) -> None:
        metrics.on_scrape(
            names.PERIODIC_JOB_RUNS,
            "Runs of periodic jobs that have ended: in success, in failure, or cancelled as the service stopped.",
            ("job", "outcome"),
            self._outcomes,
            kind="counter",
        )
        metrics.on_scrape(
            names.PERIODIC_JOB_LAST_SUCCESS,
            "When a run of each periodic job last succeeded, in seconds since the epoch.",
            ("job",),
            self._last_successes,
            multiprocess_mode="max",
        )
        metrics.on_scrape(
            names.PERIODIC_JOB_RUNNING,
            "1 for a periodic job that runs now, else 0.",
            ("job",),
            lambda: [((schedule.job.name,), float(schedule.running)) for schedule in self.schedules],
            multiprocess_mode="max",
        )
        metrics.on_scrape(
            names.PERIODIC_JOB_RUNNING_SECONDS,
            "How long the run of a periodic job that is under way has lasted, in seconds; 0 where none is.",
            ("job",),
            lambda: [((schedule.job.name,), schedule.running_for) for schedule in self.schedules],
            multiprocess_mode="max",
        )
        metrics.on_scrape(
            names.PERIODIC_JOB_INTERVAL,
            "How often a periodic job is to run, in seconds.",
            ("job",),
            lambda: [((schedule.job.name,), float(schedule.every)) for schedule in self.schedules],
            multiprocess_mode="max",
        )

    def _outcomes(self) -> Samples:
        counts = ((schedule.job.name, schedule.runs) for schedule in self.schedules)
        return [((name, outcome), float(count)) for name, runs in counts for outcome, count in runs.items()]

    def _last_successes(self) -> Samples:
        return [
            ((schedule.job.name,), schedule.last_success)
            for schedule in self.schedules
            if schedule.last_success is not None
        ]

    def report(self) -> dict[str, dict[str, Any]]:
        """Return how each job goes; may be called from any thread."""
        return {schedule.job.name: schedule.report() for schedule in self.schedules}

    def holding(self) -> bool:
        """Return whether a run of any job is under way (`Drainable`)."""
        return any(schedule.running for schedule in self.schedules)

    async def cut_off(self, patience: float, limit: str) -> CutOff:
        """Cancel the runs under way, give them `patience` seconds to end, and tell what was cut off by `limit`."""
        tasks = set()
        for schedule in self.schedules:
            if schedule.task is not None:
                schedule.cut = True
                schedule.task.cancel()
                tasks.add(schedule.task)
        if not tasks:
            return CutOff()
        await asyncio.wait(tasks, timeout=patience)
        return CutOff(len(tasks), sum(not task.done() for task in tasks), tuple(self._problems(limit)))

    def _problems(self, limit: str) -> Iterator[str]:
        """Yield what was cut off, a line each, which goes into the log as well."""
        for schedule in self.schedules:
            if schedule.cut:
                held = "its thread" if schedule.job.registered.threads else "it" if schedule.running else ""
                left = f"; {held} did not end and is left behind" if held else ""
                problem = f"periodic job {schedule.job.name!r} was cut off by {limit}{left}"
                _log.error("lmservice.periodic_job_cut_off", extra={"job": schedule.job.name, "error": problem})
                yield problem
