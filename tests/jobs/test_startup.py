import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from clock import VIRTUAL

from lmservice import Service
from lmservice.errors import ServiceDefinitionError, StartError
from lmservice.jobs.startup import Startup

pytestmark = pytest.mark.anyio
LIMIT = 60.0
"""LM_STARTUP_TIMEOUT's default, in seconds."""


@pytest.fixture(scope="module")
def anyio_backend() -> Any:
    return VIRTUAL


class Start:
    """A service whose jobs note what they do, and when, in virtual seconds."""

    def __init__(self) -> None:
        self.service = Service("startup", routes=[])
        self.results: dict[str, Any] = {}
        self.notes: list[str] = []
        self.broken: list[str] = []
        self.startup: Startup

    def note(self, what: str) -> None:
        self.notes.append(f"{what} {asyncio.get_running_loop().time() - self._began:g}")

    def job(self, name: str, seconds: float = 0, **options: Any) -> None:
        """A coroutine that takes so long."""

        async def work() -> str:
            self.note(f"{name} begins")
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                self.note(f"{name} cancelled")
                raise
            self.note(f"{name} ends")
            return name

        self.service.startup_job(name=name, **options)(work)

    def failing(self, name: str, seconds: float = 0, error: BaseException | None = None, **options: Any) -> None:
        """A coroutine that fails after so long."""

        async def work() -> None:
            self.note(f"{name} begins")
            await asyncio.sleep(seconds)
            raise error or RuntimeError(f"{name} is broken")

        self.service.startup_job(name=name, **options)(work)

    def generator(self, name: str, seconds: float = 0, *, closing: float = 0, **options: Any) -> None:
        """A generator that takes so long to open and to close; only what is behind its `yield` closes it."""

        async def work() -> AsyncIterator[str]:
            await asyncio.sleep(seconds)
            self.note(f"{name} opened")
            yield name
            await asyncio.sleep(closing)
            self.note(f"{name} closed")

        self.service.startup_job(name=name, **options)(work)

    def stubborn(self, name: str) -> None:
        """A coroutine that ignores its cancellation, for ten minutes."""

        async def work() -> None:
            for _ in range(10):
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    self.note(f"{name} ignores")

        self.service.startup_job(name=name)(work)

    async def run(self, timeout: float = LIMIT) -> float:
        """Starts; gives how long it took."""
        self.service.check()
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        self.startup = Startup(self.service.jobs, self.results, loop.time, self.broken.append)
        await self.startup.run(timeout)
        return loop.time() - self._began

    async def fail(self, timeout: float = LIMIT) -> tuple[str, float]:
        """Starts, which must fail; gives why, and after how long."""
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(self.run(timeout))
        await asyncio.wait([task])
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        assert isinstance(error, StartError), repr(error)
        return str(error), loop.time() - self._began

    async def clean_up(self, seconds: float = 5) -> list[str]:
        """Cleans up, which must not raise whatever the jobs do; gives the problems."""
        task = asyncio.create_task(self.startup.clean_up(seconds, seconds))
        await asyncio.wait([task])
        assert not task.cancelled(), "it was cancelled"
        assert task.exception() is None, repr(task.exception())
        return task.result()


@pytest.fixture
def start() -> Start:
    return Start()


async def test_jobs_without_dependencies_run_at_once(start: Start) -> None:
    for number in range(10):
        start.job(f"job{number}", 1)
    assert await start.run() == 1


async def test_a_job_begins_the_moment_its_last_predecessor_is_done_and_no_later(start: Start) -> None:
    start.job("short", 1)
    start.job("long", 3)
    start.job("after short", 1, after=["short"])
    start.job("after both", 1, after=["short", "long"])
    assert await start.run() == 4
    assert [note for note in start.notes if "after" in note] == [
        "after short begins 1",
        "after short ends 2",
        "after both begins 3",
        "after both ends 4",
    ]


async def test_a_job_may_come_before_its_predecessor_in_the_file(start: Start) -> None:
    start.job("second", after=["first"])
    start.job("first")
    await start.run()
    assert start.notes.index("first ends 0") < start.notes.index("second begins 0")


async def test_results_are_in_the_state_by_name_for_later_jobs(start: Start) -> None:
    seen: list[Any] = []

    async def reader(state: Any) -> None:
        seen.append((state.number, state.opened, state.settings))

    async def number() -> int:
        return 7

    start.results["settings"] = "the settings"
    start.service.startup_job(number)
    start.generator("opened")
    start.service.startup_job(after=["number", "opened"])(reader)
    await start.run()
    assert seen == [(7, "opened", "the settings")]
    assert start.results["reader"] is None
    await start.clean_up()


async def test_a_failure_cancels_the_others_and_names_the_job(start: Start) -> None:
    start.failing("broken", 2)
    start.job("long", 50)
    start.job("never", after=["long"])
    message, seconds = await start.fail()
    assert "broken" in message
    assert "RuntimeError: broken is broken" in message
    assert seconds == 2
    assert start.notes == ["broken begins 0", "long begins 0", "long cancelled 2"]


async def test_a_failure_is_told_at_once_though_another_job_ignores_its_cancellation(start: Start) -> None:
    start.failing("broken", 2)
    start.stubborn("stubborn")
    message, seconds = await start.fail()
    assert "broken" in message
    assert seconds <= 4


async def test_a_job_that_ignores_its_cancellation_still_fails_at_its_timeout(start: Start) -> None:
    start.stubborn("stubborn")
    start.service.jobs[0] = type(start.service.jobs[0])(start.service.jobs[0].registered, timeout=3)
    message, seconds = await start.fail()
    assert "stubborn" in message
    assert "3 s" in message
    assert seconds <= 5


async def test_the_whole_timeout_holds_though_a_job_ignores_its_cancellation(start: Start) -> None:
    start.stubborn("stubborn")
    message, seconds = await start.fail(timeout=10)
    assert "stubborn" in message
    assert "LM_STARTUP_TIMEOUT" in message
    assert seconds <= 12


async def test_a_job_that_outlives_its_timeout_is_cancelled_and_named(start: Start) -> None:
    start.job("slow", 100, timeout=3)
    message, seconds = await start.fail()
    assert "slow" in message
    assert "3 s" in message
    assert seconds == 3
    assert "slow cancelled 3" in start.notes


async def test_the_timeout_bounds_all_attempts_together(start: Start) -> None:
    start.failing("failing", 1, attempts=1000, timeout=5)
    message, seconds = await start.fail()
    assert "timeout" in message
    assert seconds == 5


async def test_a_timeout_of_the_jobs_own_is_not_taken_for_its_limit(start: Start) -> None:
    start.failing("impatient", 1, TimeoutError("the database"), timeout=5)
    message, _ = await start.fail()
    assert "TimeoutError: the database" in message
    assert "5 s" not in message


async def test_without_a_timeout_only_the_whole_one_bounds_a_job(start: Start) -> None:
    start.job("patient", 59)
    assert await start.run() == 59


async def test_the_whole_timeout_names_every_job_that_still_runs(start: Start) -> None:
    start.job("quick", 1)
    start.job("one", 100)
    start.job("other", 100)
    start.job("pending", after=["one"])
    message, seconds = await start.fail(timeout=10)
    assert "LM_STARTUP_TIMEOUT" in message
    assert "10 s" in message
    assert "'one'" in message
    assert "'other'" in message
    assert "quick" not in message
    assert seconds == 10


async def test_a_job_that_fails_at_first_is_tried_again(start: Start) -> None:
    calls: list[float] = []

    async def flaky() -> str:
        calls.append(asyncio.get_running_loop().time())
        if len(calls) < 3:
            raise ConnectionError
        return "connected"

    start.service.startup_job(attempts=3)(flaky)
    await start.run()
    assert start.results["flaky"] == "connected"
    assert start.startup.report()["flaky"]["attempts"] == 3


async def test_the_last_attempts_error_is_the_one_that_is_told(start: Start) -> None:
    start.failing("failing", attempts=3)
    message, _ = await start.fail()
    assert "3 attempts" in message
    assert "RuntimeError: failing is broken" in message
    assert len(start.notes) == 3


async def test_the_waits_between_attempts_grow_and_have_full_jitter(start: Start) -> None:
    start.failing("failing", attempts=8)
    waits: list[list[float]] = []
    for _ in range(200):
        start.notes.clear()
        await start.fail()
        moments = [float(note.rpartition(" ")[2]) for note in start.notes]
        waits.append([after - before for before, after in itertools.pairwise(moments)])
    for number in range(7):
        ceiling = max(wait[number] for wait in waits)
        lowest = min(wait[number] for wait in waits)
        mean = sum(wait[number] for wait in waits) / len(waits)
        assert lowest < 0.15 * ceiling, "full jitter begins at nothing"
        assert 0.35 * ceiling < mean < 0.65 * ceiling, "full jitter is even"
    ceilings = [max(wait[number] for wait in waits) for number in range(5)]
    assert all(1.5 < after / before < 2.6 for before, after in itertools.pairwise(ceilings))


async def test_without_a_number_of_attempts_a_job_is_tried_until_its_timeout_and_tells_how_it_failed(
    start: Start,
) -> None:
    start.failing("database", attempts=None, timeout=30)
    message, seconds = await start.fail()
    assert seconds == 30
    assert "its timeout, 30 s" in message
    assert f"{len(start.notes)} attempts" in message
    assert "RuntimeError: database is broken" in message


async def test_attempts_without_number_are_a_tenth_of_a_second_to_five_seconds_apart(start: Start) -> None:
    start.failing("database", attempts=None)
    waits = []
    for _ in range(50):
        start.notes.clear()
        message, _ = await start.fail()
        assert "LM_STARTUP_TIMEOUT" in message
        assert "RuntimeError: database is broken" in message
        moments = [float(note.rpartition(" ")[2]) for note in start.notes]
        waits += [after - before for before, after in itertools.pairwise(moments)]
    assert 0.099 < min(waits) < 0.11
    assert 4 < max(waits) < 5.001


async def test_a_job_of_any_number_of_attempts_is_done_once_what_it_waits_for_is_there(start: Start) -> None:
    loop = asyncio.get_running_loop()

    async def database() -> str:
        if loop.time() - start._began < 20:
            raise ConnectionError
        return "connected"

    start.service.startup_job(attempts=None, timeout=30)(database)
    assert 20 <= await start.run() < 25.1
    assert start.results["database"] == "connected"
    assert start.startup.timeline()[0]["attempts_allowed"] is None


async def test_an_attempt_of_a_generator_that_fails_leaves_nothing_to_clean_up(start: Start) -> None:
    begun: list[int] = []

    async def flaky() -> AsyncIterator[int]:
        begun.append(len(begun))
        if len(begun) < 3:
            raise ConnectionError
        yield len(begun)
        start.note("closed")

    start.service.startup_job(attempts=3)(flaky)
    await start.run()
    assert start.results["flaky"] == 3
    assert await start.clean_up() == []
    assert len([note for note in start.notes if note.startswith("closed")]) == 1


async def test_clean_up_is_in_reverse_of_the_order_in_which_jobs_were_done(start: Start) -> None:
    start.generator("slow", 3)
    start.generator("quick", 1)
    start.generator("last", 1, after=["slow"])
    await start.run()
    assert await start.clean_up() == []
    assert [note.rpartition(" ")[0] for note in start.notes[3:]] == ["last closed", "slow closed", "quick closed"]


async def test_after_a_failure_only_what_had_finished_is_cleaned_up(start: Start) -> None:
    start.generator("done", 1)
    start.generator("unfinished", 50)
    start.failing("broken", 2)
    await start.fail()
    assert await start.clean_up() == []
    assert start.notes == ["broken begins 0", "done opened 1", "done closed 2"]


async def test_a_generator_that_yields_in_the_instant_of_a_failure_is_cleaned_up_all_the_same(start: Start) -> None:
    start.failing("broken", 1)
    start.generator("opening", 1)
    start.generator("opening too", 1)
    await start.fail()
    await start.clean_up()
    opened = [note for note in start.notes if "opened" in note]
    closed = [note for note in start.notes if "closed" in note]
    assert len(opened) == len(closed), start.notes


async def test_a_clean_up_that_fails_does_not_keep_the_others_from_running(start: Start) -> None:
    async def failing() -> AsyncIterator[None]:
        yield
        raise OSError("disk")

    start.generator("first")
    start.service.startup_job(after=["first"])(failing)
    start.generator("third", after=["failing"])
    await start.run()
    problems = await start.clean_up()
    assert len(problems) == 1
    assert "failing" in problems[0]
    assert "OSError: disk" in problems[0]
    assert [note for note in start.notes if "closed" in note] == ["third closed 0", "first closed 0"]


class OddError(BaseException):
    """What `except Exception` does not catch."""


@pytest.mark.parametrize("error", [asyncio.CancelledError, OddError])
async def test_a_clean_up_that_raises_what_is_no_exception_does_not_keep_the_others_from_running(
    start: Start, error: type[BaseException]
) -> None:
    """As when it awaits a task that it has cancelled."""

    async def careless() -> AsyncIterator[None]:
        yield
        raise error

    start.generator("first")
    start.service.startup_job(after=["first"])(careless)
    await start.run()
    problems = await start.clean_up()
    assert len(problems) == 1
    assert "careless" in problems[0]
    assert "first closed 0" in start.notes


async def test_a_clean_up_that_hangs_is_cut_off_and_named_with_its_limit(start: Start) -> None:
    start.generator("hanging", closing=100)
    await start.run()
    problems = await start.clean_up(5)
    assert asyncio.get_running_loop().time() - start._began == 5
    assert len(problems) == 1
    assert "hanging" in problems[0]
    assert "LM_CLEANUP_TIMEOUT, 5 s" in problems[0]


async def test_a_clean_ups_own_timeout_error_is_told_as_its_failure(start: Start) -> None:
    async def impatient() -> AsyncIterator[None]:
        yield
        raise TimeoutError("the broker")

    start.service.startup_job(impatient)
    await start.run()
    problems = await start.clean_up()
    assert "TimeoutError: the broker" in problems[0]
    assert "LM_CLEANUP_TIMEOUT" not in problems[0]


async def test_a_clean_up_has_what_is_left_of_the_limit_of_all(start: Start) -> None:
    start.generator("first", closing=3)
    start.generator("second", closing=3, after=["first"])
    await start.run()
    problems = await start.clean_up(5)
    assert len(problems) == 1
    assert "first" in problems[0]
    assert "second closed 3" in start.notes


async def test_a_generator_may_hold_a_task_group_and_a_cancel_scope_across_its_yield(start: Start) -> None:
    async def group() -> AsyncIterator[asyncio.TaskGroup]:
        async with asyncio.timeout(1000), asyncio.TaskGroup() as tasks:
            worker = tasks.create_task(asyncio.sleep(900))
            yield tasks
            worker.cancel()
        start.note("group closed")

    start.service.startup_job(group)
    await start.run()
    await asyncio.sleep(100)
    assert await start.clean_up() == []
    assert start.notes == ["group closed 100"]


async def test_a_generator_whose_task_group_breaks_while_it_is_held_is_told(start: Start) -> None:
    async def fail() -> None:
        await asyncio.sleep(10)
        raise OSError("lost")

    async def group() -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())
            yield

    start.service.startup_job(group)
    await start.run()
    await asyncio.sleep(20)
    (broken,) = start.broken
    assert "'group'" in broken
    assert "ended while it was needed" in broken
    problems = await start.clean_up()
    assert len(problems) == 1
    assert "group" in problems[0]


async def test_a_generator_that_never_yields_fails_the_start(start: Start) -> None:
    async def empty() -> AsyncIterator[None]:
        if start.notes:
            yield

    start.service.startup_job(empty)
    message, _ = await start.fail()
    assert "empty" in message
    assert "yield" in message


async def test_a_generator_that_yields_twice_is_told_at_its_clean_up_and_ended(start: Start) -> None:
    async def twice() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            start.note("ended")

    start.service.startup_job(twice)
    await start.run()
    problems = await start.clean_up()
    assert len(problems) == 1
    assert "twice" in problems[0]
    assert "yield" in problems[0]
    assert start.notes == ["ended 0"]


@pytest.mark.parametrize("error", [asyncio.CancelledError, OddError])
async def test_a_job_that_raises_what_is_no_exception_fails_the_start_and_is_named(
    start: Start, error: type[BaseException]
) -> None:
    """As when it awaits a task that was cancelled."""
    start.failing("odd", 1, error())
    start.job("long", 30)
    message, seconds = await start.fail()
    assert "odd" in message
    assert seconds == 1


async def test_a_stop_of_the_start_cancels_every_job(start: Start) -> None:
    start.generator("done", 1)
    start.job("long", 50)
    task = asyncio.create_task(start.run())
    await asyncio.sleep(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await start.clean_up() == []
    assert start.notes == ["long begins 0", "done opened 1", "long cancelled 2", "done closed 2"]


async def test_plain_functions_run_in_threads_at_once(start: Start) -> None:
    barrier = threading.Barrier(12, timeout=10)

    def meet() -> int:
        barrier.wait()
        return threading.get_ident()

    for number in range(12):
        start.service.startup_job(name=f"meet{number}")(meet)
    await start.run()
    assert len(set(start.results.values())) == 12
    assert threading.get_ident() not in start.results.values()


@pytest.mark.parametrize("timeout", [2.0, None], ids=["its own", "the whole one"])
async def test_a_plain_function_that_hangs_is_left_behind_at_its_timeout(start: Start, timeout: float | None) -> None:
    let_go = threading.Event()

    def hang() -> None:
        let_go.wait(30)

    start.service.startup_job(timeout=timeout)(hang)
    try:
        message, seconds = await start.fail(timeout=2)
    finally:
        let_go.set()
    assert "hang" in message
    assert seconds == 2


@pytest.mark.parametrize("error", [ValueError("bad"), StopIteration("stop")])
async def test_a_plain_functions_error_is_its_jobs(start: Start, error: BaseException) -> None:
    def fail() -> None:
        raise error

    start.service.startup_job(fail)
    message, _ = await start.fail()
    assert "'fail'" in message
    assert type(error).__name__ in message


@pytest.mark.parametrize(
    "function",
    [lambda: 1, lambda _state: 1, lambda _state, more=2: more and 1, lambda *_args: 1],
    ids=["nothing", "the state", "the state and a default", "anything"],
)
async def test_a_function_takes_the_state_or_nothing(start: Start, function: Callable[..., int]) -> None:
    start.service.startup_job(name="function")(function)
    await start.run()
    assert start.results["function"] == 1


async def test_the_report_follows_each_job(start: Start) -> None:
    start.job("first", 2)
    start.job("second", 2, after=["first"])
    start.failing("broken", 3)
    task = asyncio.create_task(start.fail())
    await asyncio.sleep(1)
    pending = {"status": "pending", "attempts": 0, "seconds": 0}
    running = {"status": "running", "attempts": 1, "seconds": 1}
    assert start.startup.report() == {"first": running, "second": pending, "broken": running}
    await task
    assert start.startup.report() == {
        "first": {"status": "done", "attempts": 1, "seconds": 2},
        "second": {"status": "failed", "attempts": 1, "seconds": 1},
        "broken": {"status": "failed", "attempts": 1, "seconds": 3},
    }


async def test_the_critical_path_is_the_chain_that_the_start_waited_for(start: Start) -> None:
    start.job("a", 1)
    start.job("b", 5)
    start.job("c", 3, after=["a"])
    start.job("d", 2, after=["b", "c"])
    start.job("e", 1, after=["a"])
    await start.run()
    assert start.startup.critical_path() == ["b", "d"]


async def test_no_jobs_are_done_at_once(start: Start) -> None:
    assert await start.run() == 0
    assert start.startup.critical_path() == []


async def test_an_unknown_name_in_after_is_named(start: Start) -> None:
    start.job("one", after=["nonesuch"])
    with pytest.raises(ServiceDefinitionError, match=r"'one'.*'nonesuch'"):
        start.service.check()


async def test_a_cycle_is_named_with_its_members_alone(start: Start) -> None:
    start.job("outside")
    start.job("a", after=["c", "outside"])
    start.job("b", after=["a"])
    start.job("c", after=["b"])
    with pytest.raises(ServiceDefinitionError) as caught:
        start.service.check()
    circle = str(caught.value).split(": ")[1].split(" → ")
    assert circle[0] == circle[-1]
    assert sorted(circle[1:]) == ["a", "b", "c"]


async def test_a_job_after_itself_is_a_cycle(start: Start) -> None:
    start.job("alone", after=["alone"])
    with pytest.raises(ServiceDefinitionError, match="alone → alone"):
        start.service.check()


async def test_two_jobs_of_one_name_are_an_error(start: Start) -> None:
    start.job("twin")
    start.job("twin")
    with pytest.raises(ServiceDefinitionError, match="'twin'"):
        start.service.check()


@pytest.mark.parametrize("name", ["settings", "lifecycle"])
async def test_a_job_cannot_take_the_place_of_what_is_lmservices_own(start: Start, name: str) -> None:
    start.job(name)
    with pytest.raises(ServiceDefinitionError, match=name):
        start.service.check()
