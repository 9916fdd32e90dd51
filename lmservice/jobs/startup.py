"""Start-up jobs: a graph, run concurrently, cleaned up in reverse.

Every job whose predecessors are done runs at once. The first failure cancels the others and ends the start. An async
generator lives in a task of its own from its first line to its last, so that what it opens before the `yield` is
closed after it by the same task, as cancel scopes and task groups ask for.
"""

import asyncio
import logging
import math
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from starlette.datastructures import State

from lmservice.errors import StartError, one_line
from lmservice.jobs.callables import Kind
from lmservice.jobs.startup_graph import Job, JobReport, JobRun, JobStatus
from lmservice.jobs.unreachable import missing_address
from lmservice.telemetry import context
from lmservice.telemetry.logs import level_for_people

CANCEL_PATIENCE = 1.0
"""Seconds that jobs which were cancelled are waited for."""

_log = logging.getLogger("lmservice.startup")


class Startup:
    """Runs a service's start-up jobs, and afterwards their clean-up.

    Args:
        jobs: the jobs, whose graph has been checked.
        results: gets the result of each job by its name; jobs see it as their `state`.
        clock: seconds that only grow; default `time.monotonic`.
        on_broken: told when a generator has ended by itself after its `yield`, as something that it held is gone.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        results: dict[str, Any],
        clock: Callable[[], float] | None = None,
        on_broken: Callable[[str], None] | None = None,
    ) -> None:
        self.runs = {job.name: JobRun(job) for job in jobs}
        self._results = results
        self._state = State(results)
        self._generators: list[_GeneratorTask] = []
        self._clock = clock or time.monotonic
        self._on_broken = on_broken
        self._began = self._clock()

    def report(self) -> dict[str, JobReport]:
        """Return each job's status, attempts and seconds; may be called from any thread."""
        running_for = self._clock() - self._began
        return {name: run.report(running_for) for name, run in self.runs.items()}

    def timeline(self) -> list[dict[str, Any]]:
        """Return each job as `report` has it, with when it began, in seconds since the first, and its graph."""
        report = self.report()
        return [
            {
                "name": name,
                **report[name],
                "began": round(run.began, 6),
                "after": list(run.job.after),
                "attempts_allowed": run.job.attempts,
                "failure": run.failure,
            }
            for name, run in self.runs.items()
        ]

    async def run(self, timeout: float) -> None:
        """Run all jobs, within `timeout` seconds.

        Raises:
            StartError: naming the job that failed, or those that were still running when time was up.
        """
        self._began = self._clock()
        task = asyncio.create_task(self._run_all(), name="startup jobs")
        try:
            done, _ = await asyncio.wait([task], timeout=timeout)
        except asyncio.CancelledError:
            await _give_up(task)
            raise
        if done:
            self._raise_failure(task)
            return
        unfinished = ", ".join(f"{run.name!r}{_so_far(run)}" for run in self._running())
        await _give_up(task)
        raise StartError(f"start-up took longer than LM_STARTUP_TIMEOUT, {timeout:g} s; still running: {unfinished}")

    def _running(self) -> list[JobRun]:
        return [run for run in self.runs.values() if run.status is JobStatus.RUNNING]

    def _raise_failure(self, task: asyncio.Task[None]) -> None:
        error = task.exception()
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if error is not None:
            raise error

    async def _run_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for run in self.runs.values():
                group.create_task(self._run_job(run), name=f"startup job {run.name}")

    async def _run_job(self, run: JobRun) -> None:
        for name in run.job.after:
            await self.runs[name].done.wait()
        run.began = self._clock() - self._began
        run.status = JobStatus.RUNNING
        _log.log(level_for_people(), "lmservice.startup_job_begun", extra={"job": run.name})
        work = asyncio.create_task(self._outcome(run), name=f"startup job {run.name}")
        try:
            await asyncio.wait([work], timeout=run.job.timeout)
        finally:
            if not work.done():
                self._end(run, JobStatus.FAILED)
                await _give_up(work)
        if run.status is JobStatus.FAILED:
            limit = f"its timeout, {run.job.timeout:g} s"
            raise StartError(f"start-up job {run.name!r} took longer than {limit}{_so_far(run)}")
        value, error = work.result()
        if error is not None:
            self._end(run, JobStatus.FAILED)
            times = f" after {run.attempts} attempts" if run.attempts > 1 else ""
            message = f"{type(error).__name__}: {error}{missing_address(error)}"
            raise StartError(f"start-up job {run.name!r} failed{times}: {message}") from error
        self._results[run.name] = value
        self._end(run, JobStatus.DONE)
        run.done.set()
        values = {"job": run.name, "seconds": round(run.seconds, 3)}
        _log.log(level_for_people(), "lmservice.startup_job_done", extra=values)

    async def _outcome(self, run: JobRun) -> tuple[Any, BaseException | None]:
        """Return a result or an error, whatever its kind: SystemExit would end the loop, and cancel nobody."""
        try:
            with context.span(f"startup job {run.name}", attributes={"lmservice.startup_job": run.name}):
                return await self._attempts(run), None
        except BaseException as error:  # noqa: BLE001 - it is the job's
            return None, error

    def _end(self, run: JobRun, status: JobStatus) -> None:
        run.status = status
        run.seconds = self._clock() - self._began - run.began

    async def _attempts(self, run: JobRun) -> Any:
        began = asyncio.get_running_loop().time()
        try:
            return await self._attempt(run)
        except Exception as error:
            if run.job.attempts == 1:
                raise
            first = error
        from lmservice.backoff import INITIAL, LONGEST, Backoff, Rules  # noqa: PLC0415 - costs every start what few need

        attempts, least = (math.inf, INITIAL) if run.job.attempts is None else (run.job.attempts, 0.0)
        rules = Rules(lambda _error: True, attempts, None, Backoff(INITIAL, LONGEST, least))
        return await rules.resume(first, began, partial(self._attempt, run), partial(_log_retry, run))

    async def _attempt(self, run: JobRun) -> Any:
        run.attempts += 1
        try:
            value = await self._value(run.job)
        except Exception as error:
            run.failure = one_line(error) + missing_address(error)
            raise
        run.failure = ""
        return value

    async def _value(self, job: Job) -> Any:
        if job.registered.kind is not Kind.GENERATOR:
            return await job.registered.call(self._state)
        task = _GeneratorTask(job, self._state, self._on_broken)
        return await task.start(self._generators)

    def critical_path(self) -> list[str]:
        """Return the chain of jobs that the start waited for, first to last."""
        path: list[str] = []
        latest = self._latest(self.runs)
        while latest is not None:
            path.append(latest.name)
            latest = self._latest(latest.job.after)
        return path[::-1]

    def _latest(self, names: Iterable[str]) -> JobRun | None:
        return max((self.runs[name] for name in names), key=lambda run: run.began + run.seconds, default=None)

    async def clean_up(self, left: float, limit: float) -> list[str]:
        """Run the clean-up of what has started, in reverse, within the `left` seconds of `limit`.

        Return what went wrong, a line each; one that fails or is cut off does not keep the others from running.
        """
        problems: list[str] = []
        deadline = asyncio.get_running_loop().time() + left
        while self._generators:
            task = self._generators.pop()
            ended = await task.stop(deadline)
            if not ended:
                problems.append(f"the clean-up of {task.name!r} was cut off by LM_CLEANUP_TIMEOUT, {limit:g} s")
                _log.error(problems[-1])
            elif (error := task.error) is not None:
                problems.append(f"the clean-up of {task.name!r} failed: {type(error).__name__}: {error}")
                _log.error("the clean-up of %r failed", task.name, exc_info=error)
        return problems


def _so_far(run: JobRun) -> str:
    """Return how the attempts of a job went that was cut off, in brackets; '' where none has failed."""
    return f" ({run.attempts} attempts; the last that ended: {run.failure})" if run.failure else ""


def _log_retry(run: JobRun, error: Exception, attempt: int, wait: float) -> None:
    values = {"job": run.name, "attempt": attempt, "attempts": run.job.attempts, "wait": round(wait, 3)}
    text = "".join(traceback.format_exception_only(error)).strip() + missing_address(error)
    _log.warning("lmservice.startup_job_retry", extra={**values, "error": text})


async def _give_up(task: asyncio.Task[Any]) -> None:
    """Cancel, and wait a little for those that heed it."""
    task.cancel()
    await asyncio.wait([task], timeout=CANCEL_PATIENCE)
    if not task.done():
        _log.warning("start-up jobs did not end when they were cancelled; they are left behind")


class _GeneratorTask:
    """The task in which an async generator lives."""

    def __init__(self, job: Job, state: State, on_broken: Callable[[str], None] | None) -> None:
        self.name = job.name
        self.error: BaseException | None = None
        self._all: list[_GeneratorTask] = []
        self._generator = job.registered.generator(state)
        self._on_broken = on_broken
        self._started: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self._live(), name=f"startup job {job.name}")

    async def start(self, started: list["_GeneratorTask"]) -> Any:
        """Run the generator up to its `yield`, return what it yielded, and join those that `started`."""
        self._all = started
        try:
            await asyncio.wait([self._task, self._started], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if not self._started.done():
                await _give_up(self._task)
            raise
        if self._started.done():
            return self._started.result()
        raise self.error or RuntimeError("it ended without a yield")

    async def stop(self, deadline: float) -> bool:
        """Resume the generator after its `yield`; return false where it has not ended by the deadline."""
        self._stop.set()
        await asyncio.wait([self._task], timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        ended = self._task.done()
        self._task.cancel()
        return ended

    async def _live(self) -> None:
        try:
            value = await anext(self._generator, _NOTHING)
            if value is _NOTHING:
                return
            self._started.set_result(value)
            self._all.append(self)
            await self._stop.wait()
            if await anext(self._generator, _NOTHING) is not _NOTHING:
                self.error = RuntimeError("it yields more than once")
        except BaseException as error:  # noqa: BLE001 - it is the job's
            self.error = error
        finally:
            needed = self._started.done() and not self._stop.is_set()
            try:
                await self._generator.aclose()
            except BaseException as error:  # noqa: BLE001
                self.error = error  # what broke, where the first was only the cancellation that followed from it
            if needed:
                self._tell_broken()

    def _tell_broken(self) -> None:
        cause = one_line(self.error) if self.error is not None else "it came to its end"
        _log.error("lmservice.startup_job_died", exc_info=self.error, extra={"job": self.name, "error": cause})
        if self._on_broken is not None:
            self._on_broken(f"start-up job {self.name!r} ended while it was needed: {cause}")


_NOTHING = object()
