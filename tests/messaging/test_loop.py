"""Consumer loops, in virtual seconds; how a whole service stops with them is in acceptance/test_consumers.py."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from clock import VIRTUAL
from prometheus_client import generate_latest
from starlette.datastructures import State

from lmservice import Service
from lmservice.errors import ServiceDefinitionError, UsageError
from lmservice.lifecycle import CutOff, Lifecycle, StopCause
from lmservice.messaging.consumers import Consumers
from lmservice.messaging.intake import Intake
from lmservice.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio
Loop = Callable[[Any, Intake], Any]


@pytest.fixture(scope="module")
def anyio_backend() -> Any:
    return VIRTUAL


class Consuming:
    """A service with one consumer loop, run by itself."""

    def __init__(self) -> None:
        self.service = Service("orders")
        self.lifecycle = Lifecycle()
        self.metrics = Metrics()
        self.consumers: Consumers
        self.ended: list[int] = []

    def start(self, loop: Loop, concurrency: int = 3) -> None:
        self.service.consumer_loop(concurrency=concurrency, name="orders")(loop)
        self.lifecycle.attach(asyncio.get_running_loop())
        self.consumers = Consumers(
            self.service.consumers, self.lifecycle, self.metrics, asyncio.get_running_loop().time
        )
        self.consumers.begin(State({}))

    async def work(self, number: int, seconds: float = 1, error: BaseException | None = None) -> None:
        await asyncio.sleep(seconds)
        if error is not None:
            raise error
        self.ended.append(number)

    @property
    def run(self) -> Any:
        return self.consumers.runs[0]

    def stop(self) -> None:
        self.lifecycle.stop(StopCause("test"))

    def sample(self, name: str) -> float:
        lines = generate_latest(self.metrics.registry).decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def outcomes(self) -> dict[str, float]:
        families = generate_latest(self.metrics.registry).decode().splitlines()
        counts = [line for line in families if line.startswith("messaging_process_duration_seconds_count{")]
        assert all('consumer="orders"' in line for line in counts)
        return {line.partition('outcome="')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in counts}


@pytest.fixture
async def consuming() -> AsyncIterator[Consuming]:
    made = Consuming()
    yield made
    made.stop()
    await made.consumers.cut_off(1, "the test's end")
    made.consumers.end()
    await asyncio.sleep(1)


def fetching(consuming: Consuming, seconds: float = 1, most: int = 1000) -> Loop:
    """A loop that always finds as many messages as it may fetch, up to so many."""
    fetched = iter(range(most))

    async def loop(_state: Any, intake: Intake) -> None:
        while await intake.room():
            await asyncio.sleep(0.01)
            for number in [number for _ in range(intake.free) if (number := next(fetched, None)) is not None]:
                intake.take(consuming.work(number, seconds))

    return loop


async def test_never_more_than_the_concurrency_is_in_hand_and_all_of_it_is_used(consuming: Consuming) -> None:
    consuming.start(fetching(consuming), concurrency=3)
    in_hand = []
    for _ in range(500):
        await asyncio.sleep(0.01)
        in_hand.append(consuming.run.intake.in_hand)
    assert max(in_hand) == 3
    assert len(consuming.ended) == 12  # 5 s, 1.01 s for each three
    assert consuming.sample('lmservice_messages_in_hand{consumer="orders"}') == 3


async def test_there_is_no_room_from_the_first_moment_of_a_stop(consuming: Consuming) -> None:
    consuming.start(fetching(consuming), concurrency=2)
    await asyncio.sleep(0.5)
    consuming.stop()
    assert consuming.run.intake.free == 0
    await asyncio.sleep(10)
    assert sorted(consuming.ended) == [0, 1]
    assert not consuming.consumers.holding()


async def test_a_loop_is_kept_until_what_it_has_in_hand_has_ended_as_that_needs_its_connection(
    consuming: Consuming,
) -> None:
    closed: list[list[int]] = []

    async def loop(_state: Any, intake: Intake) -> None:
        while await intake.room():
            for number in range(intake.free):
                intake.take(consuming.work(number))
        closed.append(sorted(consuming.ended))

    consuming.start(loop, concurrency=2)
    await asyncio.sleep(0.5)
    consuming.stop()
    await asyncio.sleep(0.1)
    assert consuming.consumers.holding()
    await asyncio.sleep(5)
    assert closed == [[0, 1]]


async def test_a_fetch_that_is_under_way_at_the_stop_is_not_cancelled_and_what_it_brings_is_handled(
    consuming: Consuming,
) -> None:
    async def loop(_state: Any, intake: Intake) -> None:
        while await intake.room():
            await asyncio.sleep(2)
            intake.take(consuming.work(7))

    consuming.start(loop)
    await asyncio.sleep(1)
    consuming.stop()
    await asyncio.sleep(5)
    assert consuming.ended == [7]
    assert consuming.consumers.in_stop() == {"handled": 1, "given_back": 0, "cut_off": 0}


async def test_what_is_left_at_the_limit_is_cut_off_counted_and_named(consuming: Consuming) -> None:
    consuming.start(fetching(consuming, seconds=100), concurrency=2)
    await asyncio.sleep(1)
    consuming.stop()
    cut = await consuming.consumers.cut_off(2, "LM_DRAIN_TIMEOUT, 20 s")
    problem = "2 messages of consumer 'orders' were cut off by LM_DRAIN_TIMEOUT, 20 s"
    assert cut == CutOff(2, 0, (problem,))
    assert consuming.outcomes() == {"cut_off": 2}
    assert consuming.consumers.in_stop() == {"handled": 0, "given_back": 0, "cut_off": 2}
    assert not consuming.consumers.holding()


async def test_a_fetch_that_never_ends_is_cut_off_at_the_limit_and_named(consuming: Consuming) -> None:
    async def loop(_state: Any, intake: Intake) -> None:
        await intake.room()
        await asyncio.sleep(1000)

    consuming.start(loop)
    await asyncio.sleep(1)
    consuming.stop()
    cut = await consuming.consumers.cut_off(2, "LM_DRAIN_TIMEOUT, 20 s")
    assert cut == CutOff(1, 0, ("the loop of consumer 'orders' was cut off by LM_DRAIN_TIMEOUT, 20 s",))


async def test_what_was_fetched_and_never_began_is_given_back_and_no_coroutine_is_left_over(
    consuming: Consuming,
) -> None:
    async def loop(_state: Any, intake: Intake) -> None:
        await intake.room()
        await asyncio.sleep(1000)

    consuming.start(loop)
    await asyncio.sleep(1)
    consuming.stop()
    consuming.run.intake.take(consuming.work(1))
    await consuming.consumers.cut_off(2, "the limit")
    consuming.run.intake.take(consuming.work(2))
    assert consuming.outcomes() == {"given_back": 2}


async def test_work_that_raises_is_counted_and_does_not_end_the_loop(
    consuming: Consuming, caplog: pytest.LogCaptureFixture
) -> None:
    errors = iter([OSError("no"), SystemExit(5), asyncio.CancelledError()])

    async def loop(_state: Any, intake: Intake) -> None:
        while await intake.room():
            intake.take(consuming.work(1, error=next(errors, None)))
            await asyncio.sleep(1)

    consuming.start(loop)
    await asyncio.sleep(4.5)
    assert consuming.outcomes() == {"failed": 3, "ok": 1}
    assert [record.message for record in caplog.records].count("lmservice.message_failed") == 3
    assert consuming.run.up


async def test_a_loop_that_breaks_down_is_down_begun_anew_after_growing_waits_and_up_again(
    consuming: Consuming,
) -> None:
    begins: list[float] = []

    async def loop(_state: Any, intake: Intake) -> None:
        begins.append(asyncio.get_running_loop().time())
        if len(begins) < 8:
            raise ConnectionRefusedError("no broker")
        while await intake.room():  # noqa: ASYNC110 - nothing comes
            await asyncio.sleep(0.01)

    consuming.start(loop)
    await asyncio.sleep(0.05)
    assert consuming.sample('lmservice_consumer_up{consumer="orders"}') == 0
    with pytest.raises(ConnectionRefusedError):
        await consuming.run.probe()
    await asyncio.sleep(200)
    assert consuming.sample('lmservice_consumer_up{consumer="orders"}') == 1
    await consuming.run.probe()
    waits = [after - before for before, after in itertools.pairwise(begins)]
    assert min(waits) >= 0.1
    assert max(waits) <= 30


async def test_a_loop_that_returns_before_any_stop_has_broken_down(consuming: Consuming) -> None:
    async def loop(_state: Any, intake: Intake) -> None:
        await intake.room()

    consuming.start(loop)
    await asyncio.sleep(0.05)
    with pytest.raises(RuntimeError, match="though no stop had begun"):
        await consuming.run.probe()


async def test_what_is_in_hand_goes_on_when_the_loop_breaks_down(consuming: Consuming) -> None:
    async def loop(_state: Any, intake: Intake) -> None:
        await intake.room()
        if not consuming.ended:
            intake.take(consuming.work(1))
        raise ConnectionResetError

    consuming.start(loop)
    await asyncio.sleep(1.5)
    assert consuming.ended[:1] == [1]


async def test_a_stop_does_not_wait_for_the_pause_of_a_loop_that_broke_down(consuming: Consuming) -> None:
    async def loop(_state: Any, _intake: Intake) -> None:
        raise ConnectionRefusedError

    consuming.start(loop)
    await asyncio.sleep(300)
    consuming.stop()
    await asyncio.sleep(0.001)
    assert not consuming.consumers.holding()


async def test_take_refuses_what_is_no_coroutine(consuming: Consuming) -> None:
    consuming.start(fetching(consuming))
    with pytest.raises(UsageError, match="takes a coroutine"):
        consuming.run.intake.take(print)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"concurrency": 0}, "concurrency= of consumer loop 'loop' is 0: it must be a whole number, more than 0"),
        ({"concurrency": True}, "concurrency= of consumer loop 'loop' is True"),
        ({"concurrency": 1, "name": ""}, "name= of a consumer loop is ''"),
        ({"concurrency": 1, "after": "database"}, "after= of consumer loop 'loop' is a list: \\['database'\\]"),
    ],
)
async def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any], message: str) -> None:
    async def loop(state: Any, intake: Intake) -> None:
        pass

    with pytest.raises(ServiceDefinitionError, match=message):
        Service("orders").consumer_loop(**arguments)(loop)


async def test_functions_of_another_kind_and_two_of_one_name_are_refused() -> None:
    service = Service("orders")

    async def one(state: Any) -> None:
        pass

    async def two(state: Any, intake: Intake) -> None:
        pass

    with pytest.raises(ServiceDefinitionError, match="write it as 'async def"):
        service.consumer_loop(concurrency=1)(print)
    with pytest.raises(ServiceDefinitionError, match="must take two arguments"):
        service.consumer_loop(concurrency=1)(one)
    service.consumer_loop(concurrency=1)(two)
    with pytest.raises(ServiceDefinitionError, match="two consumers are named 'two'"):
        service.consumer_loop(concurrency=1)(two)


async def test_a_start_up_job_that_a_consumer_needs_must_be_there() -> None:
    service = Service("orders")

    @service.consumer_loop(concurrency=1, after=["databse"])
    async def loop(state: Any, intake: Intake) -> None:
        pass

    @service.startup_job
    async def database() -> None:
        pass

    with pytest.raises(ServiceDefinitionError, match="comes after 'databse', which is no start-up job: there are data"):
        service.check()
