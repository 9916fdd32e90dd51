"""Periodic jobs, in virtual seconds; how a whole service stops with them is in acceptance/test_periodic.py."""

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Self

import pytest
from clock import VIRTUAL
from prometheus_client import generate_latest
from starlette.datastructures import State

from lmservice import Service, Settings
from lmservice.errors import ServiceDefinitionError
from lmservice.jobs.periodic import Schedule, Timetable
from lmservice.lifecycle import CutOff, Lifecycle, StopCause
from lmservice.telemetry import context
from lmservice.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio
EVERY = 60.0
RARELY = 100_000_000.0


@pytest.fixture(scope="module")
def anyio_backend() -> Any:
    return VIRTUAL


class Jobs:
    """A service's periodic jobs, which note when their runs begin and how many are under way."""

    def __init__(self) -> None:
        self.service = Service("periodic", routes=[])
        self.lifecycle = Lifecycle()
        self.metrics = Metrics()
        self.state = State({"database": "here"})
        self.begins: list[float] = []
        self.most_at_once = 0
        self.timetable: Timetable
        self.tasks: list[asyncio.Task[None]] = []
        self._under_way = 0

    def job(self, name: str = "job", *, every: float = EVERY, seconds: float = 0, error: Any = None) -> None:
        """A coroutine that takes so long, and then fails where there is an error."""

        async def work() -> None:
            self.begins.append(self.now)
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
            try:
                await asyncio.sleep(seconds)
                if error is not None:
                    raise error
            finally:
                self._under_way -= 1

        self.service.periodic_job(every=every, name=name)(work)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time() - self._began

    @property
    def gaps(self) -> list[float]:
        """From begin to begin."""
        return [after - before for before, after in itertools.pairwise(self.begins)]

    @property
    def schedule(self) -> Schedule:
        return self.timetable.schedules[0]

    def start(self, clock: Callable[[], float] | None = None) -> None:
        self._began = asyncio.get_running_loop().time()
        self.timetable = Timetable(
            self.service.periodic_jobs,
            self.lifecycle,
            self.metrics,
            Settings(),
            clock or asyncio.get_running_loop().time,
        )
        self.tasks += [asyncio.create_task(each.run_forever(self.state)) for each in self.timetable.schedules]

    async def until_running(self) -> None:
        while not self.timetable.holding():  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(0.25)

    def stop(self) -> None:
        self.lifecycle.stop(StopCause("test"))

    def samples(self) -> dict[str, float]:
        lines = generate_latest(self.metrics.registry).decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if line.startswith("lmservice_periodic_job_"))
        return {name.removeprefix("lmservice_periodic_job_"): float(number) for name, _, number in pairs}


@pytest.fixture
async def jobs() -> AsyncIterator[Jobs]:
    each = Jobs()
    yield each
    await each.timetable.cut_off(0, "the test's end")
    for task in each.tasks:
        task.cancel()
        await asyncio.wait([task])


async def test_the_first_run_comes_within_one_period_and_is_spread_over_it(jobs: Jobs) -> None:
    for number in range(300):
        jobs.job(f"instance {number}")
    jobs.start()
    await asyncio.sleep(EVERY * 0.85)
    few = len(jobs.begins)
    assert max(jobs.begins) < EVERY
    tenths = [sum(part <= begin * 10 / EVERY < part + 1 for begin in jobs.begins) for part in range(8)]
    assert min(tenths) >= 8
    assert max(tenths) <= 65
    await asyncio.sleep(EVERY * 0.15)
    assert few < len({each.job.name for each in jobs.timetable.schedules if each.runs["success"]}) == 300


async def test_from_begin_to_begin_passes_the_period_give_or_take_a_tenth(jobs: Jobs) -> None:
    jobs.job(seconds=20)
    jobs.start()
    await asyncio.sleep(500 * EVERY)
    assert 0.9 * EVERY <= min(jobs.gaps) < 0.93 * EVERY
    assert 1.07 * EVERY < max(jobs.gaps) <= 1.1 * EVERY
    assert sum(jobs.gaps) / len(jobs.gaps) == pytest.approx(EVERY, rel=0.02)


async def test_a_run_that_is_only_a_little_shorter_than_the_period_lets_none_be_missed(jobs: Jobs) -> None:
    jobs.job(seconds=0.95 * EVERY)
    jobs.start()
    await asyncio.sleep(100 * EVERY)
    assert min(jobs.gaps) >= 0.949 * EVERY
    assert max(jobs.gaps) <= 1.1 * EVERY
    assert jobs.most_at_once == 1
    assert jobs.schedule.report()["skipped"] == 0


async def test_what_falls_into_a_longer_run_is_skipped_and_not_made_up_for(jobs: Jobs) -> None:
    jobs.job(seconds=2.5 * EVERY)
    jobs.start()
    await asyncio.sleep(60 * EVERY)
    assert jobs.most_at_once == 1
    assert min(jobs.gaps) >= 2.9 * EVERY
    assert max(jobs.gaps) <= 3.1 * EVERY
    assert jobs.schedule.report()["skipped"] == pytest.approx(2 * jobs.schedule.runs.total(), abs=2)


async def test_jobs_do_not_wait_for_each_other(jobs: Jobs) -> None:
    jobs.job("long", seconds=100 * EVERY)
    jobs.job("short", seconds=1)
    jobs.start()
    await asyncio.sleep(50 * EVERY)
    assert [each.runs["success"] > 40 for each in jobs.timetable.schedules] == [False, True]


async def test_an_alarm_that_rings_a_little_early_makes_no_run_twice(jobs: Jobs) -> None:
    loop = asyncio.get_running_loop()
    jobs.job()
    jobs.start(clock=lambda: loop.time() * 0.999)
    await asyncio.sleep(50 * EVERY)
    assert min(jobs.gaps) > 0.89 * EVERY


class OddError(BaseException):
    """What `except Exception` does not catch."""


@pytest.mark.parametrize("error", [OSError("hunter2"), SystemExit(5), asyncio.CancelledError(), OddError()])
@pytest.mark.parametrize("plain", [False, True], ids=["coroutine", "plain"])
async def test_whatever_a_run_raises_is_logged_and_counted_and_the_next_one_comes(
    jobs: Jobs, caplog: pytest.LogCaptureFixture, error: BaseException, *, plain: bool
) -> None:
    def fail() -> None:
        raise error

    async def fail_later() -> None:
        await asyncio.sleep(1)
        raise error

    jobs.service.periodic_job(every=EVERY, name="failing")(fail if plain else fail_later)
    jobs.start()
    await asyncio.sleep(3.5 * EVERY)
    failures = jobs.schedule.runs["failure"]
    assert failures >= 2
    assert jobs.schedule.runs.total() == failures
    assert not jobs.tasks[0].done()
    report = jobs.schedule.report()
    assert (report["failures"], report["last_error"]) == (failures, type(error).__name__)
    assert "hunter2" not in str(report)
    told = [line for line in caplog.records if line.message == "lmservice.periodic_job_failed"]
    assert [(line.levelname, vars(line)["job"]) for line in told] == [("ERROR", "failing")] * failures
    assert told[0].exc_info
    assert told[0].exc_info[1] is error


async def test_a_run_that_cancels_its_own_task_is_a_failure_and_the_next_one_comes(jobs: Jobs) -> None:
    async def cancel() -> None:
        task = asyncio.current_task()
        assert task
        task.cancel()
        await asyncio.sleep(1)

    jobs.service.periodic_job(every=EVERY)(cancel)
    jobs.start()
    await asyncio.sleep(3.5 * EVERY)
    assert jobs.schedule.runs["failure"] >= 2


async def test_a_success_is_told_to_those_who_debug(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "lmservice.periodic")
    jobs.job(seconds=2)
    jobs.start()
    await asyncio.sleep(EVERY + 2)
    (line, *_) = [each for each in caplog.records if each.name == "lmservice.periodic"]
    assert (line.levelname, line.message) == ("DEBUG", "lmservice.periodic_job_done")
    assert (vars(line)["job"], vars(line)["seconds"]) == ("job", 2)


async def test_a_plain_function_runs_in_a_thread_and_sees_the_state(jobs: Jobs) -> None:
    seen: list[Any] = []

    def plain(state: Any) -> None:
        seen.append((state.database, threading.current_thread().name))

    jobs.service.periodic_job(every=EVERY)(plain)
    jobs.start()
    await asyncio.sleep(EVERY + 1)
    assert seen[0] == ("here", "plain")


async def test_a_coroutine_function_may_take_the_state(jobs: Jobs) -> None:
    seen: list[Any] = []

    async def look(state: Any) -> None:
        seen.append(state.database)

    jobs.service.periodic_job(every=EVERY)(look)
    jobs.start()
    await asyncio.sleep(EVERY + 1)
    assert seen[0] == "here"


async def test_what_one_run_puts_into_its_context_the_next_does_not_see(jobs: Jobs) -> None:
    mark: ContextVar[str] = ContextVar("mark", default="clean")
    seen: list[str] = []

    async def leave_a_mark() -> None:
        seen.append(mark.get())
        mark.set("left")

    jobs.service.periodic_job(every=EVERY)(leave_a_mark)
    jobs.start()
    await asyncio.sleep(4 * EVERY)
    assert set(seen) == {"clean"}
    assert len(seen) > 1


async def test_the_report_follows_the_runs(jobs: Jobs) -> None:
    errors: list[Exception] = []

    async def work() -> None:
        await asyncio.sleep(5)
        if errors:
            raise errors.pop()

    jobs.service.periodic_job(every=EVERY)(work)
    jobs.start()
    before = {
        "status": "waiting", "runs": 0, "failures": 0, "skipped": 0, "last_success": None, "last_error": None,
        "seconds": None,
    }  # fmt: skip
    assert jobs.timetable.report() == {"work": before}
    await jobs.until_running()
    assert jobs.timetable.report() == {"work": {**before, "status": "running"}}
    await asyncio.sleep(5)
    report = jobs.timetable.report()["work"]
    assert report["last_success"].endswith("Z")
    assert datetime.fromisoformat(report["last_success"]).timestamp() == pytest.approx(time.time(), abs=30)
    assert report == {**before, "runs": 1, "last_success": report["last_success"], "seconds": 5}
    errors.append(OSError("hunter2"))
    await jobs.until_running()
    await asyncio.sleep(5)
    failed = {"runs": 2, "failures": 1, "last_error": "OSError"}
    assert jobs.timetable.report() == {"work": {**report, **failed}}
    await jobs.until_running()
    await asyncio.sleep(5)
    assert jobs.timetable.report()["work"]["last_error"] is None
    jobs.stop()
    assert jobs.timetable.report()["work"]["status"] == "stopped"


async def test_no_run_begins_once_the_service_drains_and_the_schedule_ends(jobs: Jobs) -> None:
    jobs.job()
    jobs.start()
    jobs.stop()
    async with asyncio.timeout(EVERY + 1):
        await jobs.tasks[0]
    assert jobs.begins == []


async def test_no_run_begins_where_the_stop_comes_after_the_alarm_and_before_the_run(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.5)
    jobs.job()
    jobs.start()
    loop = asyncio.get_running_loop()
    loop.call_at(loop.time() + EVERY / 2, loop.call_soon, jobs.stop)
    await asyncio.sleep(3 * EVERY)
    assert jobs.begins == []


async def test_the_run_under_way_goes_on_while_the_service_drains_and_is_the_last(jobs: Jobs) -> None:
    jobs.job(seconds=2 * EVERY)
    jobs.start()
    await jobs.until_running()
    jobs.stop()
    await asyncio.sleep(1.9 * EVERY)
    assert jobs.schedule.report()["status"] == "running"
    await asyncio.sleep(0.2 * EVERY)
    assert jobs.schedule.report()["status"] == "stopped"
    await asyncio.wait(jobs.tasks, timeout=3 * EVERY)
    assert jobs.tasks[0].done()
    assert dict(jobs.schedule.runs) == {"success": 1, "failure": 0, "cancelled": 0}


async def cut_off(jobs: Jobs, patience: float = 1) -> list[str]:
    """Cuts off the run under way, as a drain does; gives what is told of it."""
    await jobs.until_running()
    jobs.stop()
    return list((await jobs.timetable.cut_off(patience, "LM_DRAIN_TIMEOUT, 20 s")).problems)


async def test_a_run_that_is_cut_off_is_cancelled_and_named(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    jobs.job("other", every=RARELY)
    jobs.job("long", every=EVERY, seconds=100)
    jobs.start()
    assert await cut_off(jobs) == ["periodic job 'long' was cut off by LM_DRAIN_TIMEOUT, 20 s"]
    assert dict(jobs.timetable.schedules[1].runs) == {"success": 0, "failure": 0, "cancelled": 1}
    (line,) = caplog.records
    assert (line.levelname, line.message) == ("ERROR", "lmservice.periodic_job_cut_off")
    assert vars(line)["job"] == "long"


async def test_a_run_that_ends_well_when_it_is_cut_off_was_cut_off_all_the_same(jobs: Jobs) -> None:
    async def save() -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(0.5)

    jobs.service.periodic_job(every=EVERY)(save)
    jobs.start()
    assert await cut_off(jobs) == ["periodic job 'save' was cut off by LM_DRAIN_TIMEOUT, 20 s"]
    assert jobs.schedule.runs["cancelled"] == 1


async def test_a_run_that_does_not_heed_its_cancellation_is_left_behind_and_that_is_told(jobs: Jobs) -> None:
    async def stubborn() -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(100)

    jobs.service.periodic_job(every=EVERY)(stubborn)
    jobs.start()
    (problem,) = await cut_off(jobs)
    assert problem.endswith("; it did not end and is left behind")


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_a_plain_functions_thread_is_left_behind_and_that_is_told(jobs: Jobs, let_go: threading.Event) -> None:
    jobs.service.periodic_job(every=1, name="thread")(lambda: let_go.wait(30))
    jobs.start()
    (problem,) = await cut_off(jobs)
    assert "'thread'" in problem
    assert problem.endswith("; its thread did not end and is left behind")
    assert jobs.schedule.runs["cancelled"] == 1
    assert not jobs.timetable.holding()


async def test_where_nothing_runs_nothing_is_cut_off_nor_told(jobs: Jobs) -> None:
    jobs.job(every=RARELY)
    jobs.start()
    await asyncio.sleep(1)
    assert await jobs.timetable.cut_off(1, "LM_DRAIN_TIMEOUT, 20 s") == CutOff()


async def test_the_metrics_follow_the_runs(jobs: Jobs) -> None:
    jobs.job("well", seconds=2)
    jobs.job("failing", seconds=20, error=OSError("broken"))
    jobs.start()
    before = jobs.samples()
    for outcome, name in itertools.product(("success", "failure", "cancelled"), ("well", "failing")):
        assert before[f'runs_total{{job="{name}",outcome="{outcome}"}}'] == 0
    assert not [name for name in before if "last_success" in name]
    assert before['duration_seconds_count{job="well"}'] == 0
    while not jobs.timetable.schedules[1].running:  # noqa: ASYNC110 - it sets no event
        await asyncio.sleep(0.25)
    assert jobs.samples()['running{job="failing"}'] == 1
    await asyncio.sleep(EVERY + 5)
    jobs.stop()
    await asyncio.wait(jobs.tasks)
    samples = jobs.samples()
    well, failed = (each.runs.total() for each in jobs.timetable.schedules)
    assert samples['runs_total{job="well",outcome="success"}'] == well >= 1
    assert samples['runs_total{job="failing",outcome="failure"}'] == failed >= 1
    assert samples['duration_seconds_sum{job="well"}'] == pytest.approx(2 * well)
    assert samples['duration_seconds_bucket{job="failing",le="10.0"}'] == 0
    assert samples['duration_seconds_bucket{job="failing",le="30.0"}'] == failed
    assert samples['running{job="well"}'] == samples['running{job="failing"}'] == 0
    assert samples['last_success_timestamp_seconds{job="well"}'] == pytest.approx(time.time(), abs=30)
    assert 'last_success_timestamp_seconds{job="failing"}' not in samples


async def test_a_service_that_is_run_again_in_one_process_counts_anew(jobs: Jobs) -> None:
    jobs.job()
    jobs.start()
    await asyncio.sleep(3 * EVERY)
    assert jobs.samples()['duration_seconds_count{job="job"}'] >= 2
    jobs.start()
    assert jobs.samples()['duration_seconds_count{job="job"}'] == 0
    assert jobs.samples()['runs_total{job="job",outcome="success"}'] == 0
    text = generate_latest(jobs.metrics.registry).decode()
    assert text.count("# TYPE lmservice_periodic_job_duration_seconds histogram") == 1
    assert text.count("# TYPE lmservice_periodic_job_runs_total counter") == 1


class Traced:
    """A tracer that keeps what it is told, as `context.Tracer` and the one span that it ever makes."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def span(self, name: str, kind: str, attributes: Mapping[str, Any]) -> Self:
        self.said.append((name, kind, dict(attributes)))
        return self

    def inject(self) -> Mapping[str, str]:
        return {}

    def __enter__(self) -> Self:
        self.said.append("entered")
        return self

    def __exit__(self, *_outcome: object) -> None:
        self.said.append("left")

    def set(self, name: str, value: str | float) -> None:
        self.said.append((name, value))

    def fail(self, kind: str) -> None:
        self.said.append(kind)


@pytest.mark.parametrize(("error", "fails"), [(None, []), (OSError(), ["OSError"])])
async def test_each_run_is_a_span_of_its_own(jobs: Jobs, error: Exception | None, fails: list[str]) -> None:
    traced = Traced()
    token = context.tracer.set(traced)
    jobs.job("sweep", error=error)
    jobs.start()
    context.tracer.reset(token)
    await asyncio.sleep(4 * EVERY)
    each = [("periodic job sweep", "internal", {"lmservice.job": "sweep"}), "entered", *fails, "left"]
    assert traced.said == each * len(jobs.begins)
    assert len(jobs.begins) > 1


async def generator() -> Any:
    yield


@pytest.mark.parametrize(
    ("register", "named"),
    [
        (lambda service: service.periodic_job(lambda: None), r"every=: write @service.periodic_job\(every=60\)"),
        (lambda service: service.periodic_job(lambda: None, every=60), "every=: write"),
        (lambda service: service.periodic_job()(lambda: None), "every=: write"),
        (lambda service: service.periodic_job(name="job")(lambda: None), "every=: write"),
        *((lambda service, every=every: service.periodic_job(every=every)(lambda: None), f"every= .* is {every!r}: it")
          for every in (0, -1, "60", True, float("nan"), [60])),
        (lambda service: service.periodic_job(every=1)(generator), "periodic job 'generator' is an async generator"),
        (lambda service: service.periodic_job(every=1)(Jobs), "periodic job 'Jobs' is the class Jobs"),
        (lambda service: service.periodic_job(every=1)(lambda _one, _two: None), "argument"),
        (lambda service: service.periodic_job(every=1, name="")(lambda: None), "name= of a periodic job is ''"),
        (lambda service: service.periodic_job(every=1, name=7)(lambda: None), "name= of a periodic job is 7"),
        (
            lambda service: [service.periodic_job(every=1, name="twin")(lambda: None) for _ in range(2)],
            "two periodic jobs are named 'twin'",
        ),
    ],
)  # fmt: skip
async def test_a_job_that_makes_no_sense_is_refused_where_it_is_registered(
    register: Callable[[Any], Any], named: str
) -> None:
    with pytest.raises(ServiceDefinitionError, match=named.replace("[60]", r"\[60\]")):
        register(Service("periodic", routes=[]))


async def test_a_function_that_is_registered_stays_what_it_was() -> None:
    service = Service("periodic", routes=[])

    @service.periodic_job(every=60)
    async def job() -> int:
        return 7

    assert await job() == 7
    assert [(each.name, each.every) for each in service.periodic_jobs] == [("job", 60)]
