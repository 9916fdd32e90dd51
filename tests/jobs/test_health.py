import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from clock import VIRTUAL
from starlette.datastructures import State

from lmservice import Service
from lmservice.errors import ServiceDefinitionError
from lmservice.jobs.health import CheckMonitor

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> Any:
    return VIRTUAL


class Dependency:
    """What a check asks: well, failing, or hanging, as it is told."""

    def __init__(self, **options: Any) -> None:
        self.behaviour: Any = None
        self.polls: list[float] = []
        service = Service("health", routes=[])
        service.health_check(name="dependency", **options)(self.check)
        self.watch = CheckMonitor(service.checks[0])

    async def check(self, state: Any) -> Any:
        self.polls.append(asyncio.get_running_loop().time())
        assert state.database == "here"
        if isinstance(self.behaviour, BaseException):
            raise self.behaviour
        if isinstance(self.behaviour, float):
            await asyncio.sleep(self.behaviour)
        return self.behaviour

    async def poll(self, *behaviours: Any) -> list[str]:
        """Polls once with each behaviour; gives the status after each."""
        found = []
        for self.behaviour in behaviours:
            await self.watch.poll(State({"database": "here"}))
            found.append(self.watch.status)
        return found


WELL = None
NOT_WELL: Any = False
ERROR = OSError("refused")


async def test_a_check_is_down_after_its_third_failure_in_a_row_and_up_after_its_second_success() -> None:
    assert await Dependency().poll(WELL, ERROR, ERROR, ERROR, WELL, WELL) == ["up", "up", "up", "down", "down", "up"]


async def test_a_success_in_between_begins_the_count_anew() -> None:
    found = await Dependency().poll(WELL, ERROR, ERROR, WELL, ERROR, ERROR, ERROR)
    assert found == ["up"] * 6 + ["down"]


async def test_a_failure_in_between_begins_the_count_of_successes_anew() -> None:
    found = await Dependency().poll(ERROR, ERROR, ERROR, WELL, ERROR, WELL, WELL)
    assert found == ["unknown", "unknown", "down", "down", "down", "down", "up"]


async def test_the_numbers_are_the_authors() -> None:
    found = await Dependency(failures=1, successes=3).poll(WELL, ERROR, WELL, WELL, WELL)
    assert found == ["up", "down", "down", "down", "up"]


async def test_the_first_success_is_believed() -> None:
    assert await Dependency(successes=5).poll(WELL) == ["up"]


async def test_returning_false_is_a_failure_and_returning_nothing_is_none() -> None:
    assert await Dependency(failures=1).poll(None, NOT_WELL) == ["up", "down"]


async def test_a_poll_that_takes_too_long_is_a_failure() -> None:
    dependency = Dependency(failures=1, timeout=2)
    began = asyncio.get_running_loop().time()
    assert await dependency.poll(1.9, 100.0) == ["up", "down"]
    assert asyncio.get_running_loop().time() - began == pytest.approx(1.9 + 2)


async def test_a_poll_that_raises_what_is_no_exception_is_a_failure() -> None:
    """As when it awaits a task that was cancelled."""
    dependency = Dependency(failures=1)
    polling = asyncio.create_task(dependency.poll(asyncio.CancelledError()))
    await asyncio.wait([polling])
    assert not polling.cancelled(), "the check is never polled again, and stays what it was"
    assert dependency.watch.status == "down"


@pytest.mark.parametrize("critical", [True, False])
async def test_only_a_critical_check_takes_down(critical: bool) -> None:  # noqa: FBT001
    dependency = Dependency(critical=critical, failures=1)
    await dependency.poll(WELL)
    assert not dependency.watch.takes_down
    await dependency.poll(ERROR)
    assert dependency.watch.takes_down is critical


@pytest.mark.parametrize("critical", [True, False])
async def test_a_critical_check_takes_down_until_it_has_succeeded(critical: bool) -> None:  # noqa: FBT001
    dependency = Dependency(critical=critical)
    assert (dependency.watch.takes_down, dependency.watch.awaited) == (critical, critical)
    await dependency.poll(ERROR)
    assert dependency.watch.status == "unknown"
    assert dependency.watch.takes_down is critical
    await dependency.poll(WELL)
    assert not dependency.watch.takes_down
    assert not dependency.watch.awaited


@pytest.mark.parametrize(("critical", "moments"), [(True, [0, 1, 2, 3, 4, 11, 18]), (False, [0, 7, 14, 21, 28])])
async def test_a_critical_check_is_polled_every_second_until_it_is_up(critical: bool, moments: list[int]) -> None:  # noqa: FBT001
    polls: list[float] = []
    service = Service("checked", routes=[])

    async def fails_three_times() -> bool:
        polls.append(asyncio.get_running_loop().time() - began)
        return len(polls) > 3

    service.health_check(interval=7, critical=critical)(fails_three_times)
    began = asyncio.get_running_loop().time()
    polling = asyncio.create_task(CheckMonitor(service.checks[0]).poll_forever(State({})))
    await asyncio.sleep(moments[-1] + 0.5)
    polling.cancel()
    assert polls == pytest.approx(moments, abs=1e-6)


async def test_the_report_names_the_kind_of_error_and_none_of_its_words() -> None:
    dependency = Dependency(failures=1)
    await dependency.poll(OSError("postgresql://user:hunter2@db"))
    assert dependency.watch.report()["status"] == "down"
    assert "OSError" in str(dependency.watch.report())
    assert "hunter2" not in str(dependency.watch.report())
    await dependency.poll(WELL, WELL)
    assert "error" not in dependency.watch.report()


async def test_it_is_polled_at_once_and_then_an_interval_after_each_poll() -> None:
    dependency = Dependency(interval=5, timeout=2)
    began = asyncio.get_running_loop().time()
    polling = asyncio.create_task(dependency.watch.poll_forever(State({"database": "here"})))
    dependency.behaviour = 1.0
    await asyncio.sleep(14)
    polling.cancel()
    assert [moment - began for moment in dependency.polls] == [0, 6, 12]


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_a_plain_function_is_polled_in_a_thread_and_given_up_at_its_timeout(let_go: threading.Event) -> None:
    service = Service("health", routes=[])
    seen: list[int] = []

    def hanging() -> None:
        seen.append(threading.get_ident())
        let_go.wait(30)

    service.health_check(timeout=2, failures=1)(hanging)
    watch = CheckMonitor(service.checks[0])
    await watch.poll(State({}))
    assert watch.status == "down"
    assert seen != [threading.get_ident()]


async def test_a_plain_function_that_hangs_does_not_take_one_more_thread_with_every_poll(
    let_go: threading.Event,
) -> None:
    service = Service("health", routes=[])

    def hanging() -> None:
        let_go.wait(30)

    service.health_check(timeout=0.1, interval=0.1)(hanging)
    before = threading.active_count()
    polling = asyncio.create_task(CheckMonitor(service.checks[0]).poll_forever(State({})))
    await asyncio.sleep(0.7)
    polling.cancel()
    assert threading.active_count() - before <= 1


async def generator() -> Any:
    yield


@pytest.mark.parametrize(
    ("register", "named"),
    [
        (lambda service: service.health_check(generator), "generator"),
        (lambda service: service.health_check(interval=0)(lambda: None), "interval"),
        (lambda service: service.health_check(timeout=-1)(lambda: None), "timeout"),
        (lambda service: service.health_check(failures=0)(lambda: None), "failures"),
        (lambda service: service.health_check(lambda _one, _two: None), "argument"),
        (lambda service: [service.health_check(name="twin")(lambda: None) for _ in range(2)], "twin"),
    ],
)
async def test_a_check_that_makes_no_sense_is_refused_where_it_is_registered(
    register: Callable[[Service], Any], named: str
) -> None:
    with pytest.raises(ServiceDefinitionError, match=named):
        register(Service("health", routes=[]))
