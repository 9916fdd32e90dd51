import asyncio
import functools
import inspect
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from clock import VIRTUAL
from prometheus_client import REGISTRY, CollectorRegistry

from lmservice import LmserviceError, Service, retry
from lmservice.testing import running

pytestmark = pytest.mark.anyio
NAME = "lmservice_retries_total"


@pytest.fixture(scope="module")
def anyio_backend() -> Any:
    return VIRTUAL


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


class Flaky:
    """Fails as often as it is told, and notes when it was called."""

    def __init__(self, *errors: BaseException, seconds: float = 0.0) -> None:
        self.errors = list(errors)
        self.seconds = seconds
        self.at: list[float] = []
        self.arguments: list[Any] = []

    async def call(self, *args: Any, **kwargs: Any) -> str:
        self.at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.seconds)
        return self.plain(*args, **kwargs)

    def plain(self, *args: Any, **kwargs: Any) -> str:
        self.arguments.append((args, kwargs))
        if self.errors:
            raise self.errors.pop(0)
        return "well"

    @property
    def calls(self) -> int:
        return len(self.arguments)


def endless(error: type[Exception] = ConnectionError) -> Flaky:
    return Flaky(*(error(number) for number in range(1, 1000)))


async def test_a_coroutine_function_is_repeated_with_its_arguments_until_it_succeeds() -> None:
    flaky = Flaky(ConnectionError(), ConnectionError())
    assert await retry(on=ConnectionError)(flaky.call)(1, two=2) == "well"
    assert flaky.arguments == [((1,), {"two": 2})] * 3


def test_a_plain_function_is_repeated_too() -> None:
    flaky = Flaky(ConnectionError(), ConnectionError())
    assert retry(on=ConnectionError, wait_initial=0)(flaky.plain)(1, two=2) == "well"
    assert flaky.arguments == [((1,), {"two": 2})] * 3


async def test_an_iteration_gives_attempts_until_one_succeeds() -> None:
    flaky = Flaky(ConnectionError(), ConnectionError())
    numbers = []
    async for attempt in retry(on=ConnectionError):
        with attempt:
            numbers.append(attempt.number)
            await flaky.call()
    assert numbers == [1, 2, 3]


def test_a_plain_iteration_does_too() -> None:
    flaky = Flaky(ConnectionError(), ConnectionError())
    numbers = []
    for attempt in retry(on=ConnectionError, wait_initial=0):
        with attempt:
            numbers.append(attempt.number)
            flaky.plain()
    assert numbers == [1, 2, 3]


async def decorated(flaky: Flaky, **options: Any) -> None:
    await retry(**options)(flaky.call)()


async def iterated(flaky: Flaky, **options: Any) -> None:
    async for attempt in retry(**options):
        with attempt:
            await flaky.call()


async def plainly_decorated(flaky: Flaky, **options: Any) -> None:
    retry(**options, wait_initial=0)(flaky.plain)()


async def plainly_iterated(flaky: Flaky, **options: Any) -> None:
    for attempt in retry(**options, wait_initial=0):
        with attempt:
            flaky.plain()


forms = pytest.mark.parametrize("form", [decorated, iterated, plainly_decorated, plainly_iterated])
waiting = pytest.mark.parametrize("form", [decorated, iterated])


@forms
async def test_the_last_attempts_error_comes_through_as_it_is(form: Callable[..., Any]) -> None:
    flaky = endless()
    with pytest.raises(ConnectionError) as caught:
        await form(flaky, on=ConnectionError, attempts=4)
    assert caught.value.args == (4,)
    assert flaky.calls == 4


@forms
async def test_an_error_that_is_not_named_comes_through_at_once(form: Callable[..., Any]) -> None:
    flaky = Flaky(ConnectionError(), KeyError("other"), ConnectionError())
    with pytest.raises(KeyError, match="other"):
        await form(flaky, on=(ConnectionError, TimeoutError))
    assert flaky.calls == 2


@forms
async def test_a_subclass_of_what_is_named_is_repeated(form: Callable[..., Any]) -> None:
    flaky = Flaky(ConnectionResetError(), TimeoutError())
    await form(flaky, on=(ConnectionError, TimeoutError))
    assert flaky.calls == 3


@forms
async def test_a_function_may_decide(form: Callable[..., Any]) -> None:
    flaky = Flaky(ValueError("again"), ValueError("enough"))
    with pytest.raises(ValueError, match="enough"):
        await form(flaky, on=lambda error: "again" in str(error))
    assert flaky.calls == 2


@forms
@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit])
async def test_what_is_no_exception_is_never_repeated(form: Callable[..., Any], error: type[BaseException]) -> None:
    for errors in ([error()], [ValueError(), error()]):
        flaky = Flaky(*errors)
        with pytest.raises(error):
            await form(flaky, on=lambda _: True)
        assert flaky.calls == len(errors)


@forms
async def test_one_attempt_is_one(form: Callable[..., Any]) -> None:
    flaky = endless()
    with pytest.raises(ConnectionError):
        await form(flaky, on=ConnectionError, attempts=1)
    assert flaky.calls == 1


@waiting
async def test_the_waits_grow_and_have_full_jitter(form: Callable[..., Any]) -> None:
    waits: list[list[float]] = []
    for _ in range(200):
        flaky = endless()
        with pytest.raises(ConnectionError):
            await form(flaky, on=ConnectionError, attempts=5, timeout=None, wait_initial=1, wait_max=4)
        waits.append([later - sooner for sooner, later in zip(flaky.at, flaky.at[1:], strict=False)])
    for number, ceiling in enumerate([1, 2, 4, 4]):
        found = [each[number] for each in waits]
        assert 0.9 * ceiling < max(found) <= ceiling
        assert min(found) < 0.1 * ceiling
        assert 0.4 * ceiling < sum(found) / len(found) < 0.6 * ceiling


@waiting
async def test_no_attempt_begins_past_the_timeout(form: Callable[..., Any]) -> None:
    for _ in range(50):
        flaky = endless()
        flaky.seconds = 1
        began = asyncio.get_running_loop().time()
        with pytest.raises(ConnectionError):
            await form(flaky, on=ConnectionError, attempts=1000, timeout=10, wait_initial=0.1)
        assert max(flaky.at) - began <= 10
        assert 2 <= flaky.calls <= 11


async def test_without_a_timeout_only_the_attempts_bound_it() -> None:
    flaky = endless()
    flaky.seconds = 1000
    with pytest.raises(ConnectionError):
        await decorated(flaky, on=ConnectionError, attempts=7, timeout=None)
    assert flaky.calls == 7


async def test_a_caller_that_is_cancelled_while_it_waits_leaves_at_once() -> None:
    flaky = endless()
    task = asyncio.create_task(decorated(flaky, on=ConnectionError, wait_initial=1e9, wait_max=1e9, timeout=None))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert flaky.calls == 1


async def test_one_decorated_function_may_be_called_many_times_at_once() -> None:
    calls: dict[int, int] = {}

    @retry(on=ConnectionError, attempts=4)
    async def third_time_lucky(number: int) -> int:
        calls[number] = calls.get(number, 0) + 1
        await asyncio.sleep(0.01)
        if calls[number] < 3:
            raise ConnectionError
        return number

    assert await asyncio.gather(*(third_time_lucky(number) for number in range(50))) == list(range(50))
    assert set(calls.values()) == {3}


async def test_one_retry_may_be_iterated_again_and_again() -> None:
    again = retry(on=ConnectionError, attempts=2)
    for _ in range(3):
        flaky = Flaky(ConnectionError())
        async for attempt in again:
            with attempt:
                await flaky.call()
        assert flaky.calls == 2


async def test_a_return_from_within_an_attempt_ends_it() -> None:
    async def first() -> str:
        async for attempt in retry(on=ConnectionError):
            with attempt:
                return "well"
        raise AssertionError

    assert await first() == "well"


async def test_a_cancellation_within_an_attempt_leaves_the_loop_at_once() -> None:
    reached = []

    async def iterate() -> None:
        async for attempt in retry(on=OSError):
            with attempt:
                raise asyncio.CancelledError
            reached.append(attempt)

    with pytest.raises(asyncio.CancelledError):
        await iterate()
    assert not reached


async def test_a_decorated_function_keeps_its_name_and_kind() -> None:
    @retry(on=OSError)
    async def coroutine() -> None:
        """Says what it does."""

    assert (coroutine.__name__, coroutine.__doc__) == ("coroutine", "Says what it does.")
    assert inspect.iscoroutinefunction(coroutine)


async def test_whatever_gives_a_coroutine_is_awaited() -> None:
    class Callable_:  # noqa: N801 - stands for a user's
        def __init__(self) -> None:
            self.flaky = Flaky(OSError())

        async def __call__(self) -> str:
            return await self.flaky.call()

    each = Callable_()
    assert await retry(on=OSError)(each)() == "well"
    flaky = Flaky(OSError())
    assert await retry(on=OSError)(functools.partial(flaky.call, 1))() == "well"
    assert (each.flaky.calls, flaky.calls) == (2, 2)


@pytest.mark.parametrize("on", [None, (), "ConnectionError", BaseException, asyncio.CancelledError, (OSError, 7), int])
def test_on_is_a_class_of_exceptions_a_tuple_of_them_or_a_function(on: Any) -> None:
    with pytest.raises(LmserviceError, match="on= of retry is"):
        retry(on=on)


def test_on_must_be_given() -> None:
    with pytest.raises(TypeError, match="on"):
        retry()  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attempts", 0),
        ("attempts", 1.5),
        ("attempts", True),
        ("timeout", -1),
        ("timeout", "1"),
        ("wait_initial", -1),
        ("wait_max", float("nan")),
        ("wait_max", None),
    ],
)
def test_a_number_that_makes_no_sense_is_named(name: str, value: Any) -> None:
    with pytest.raises(LmserviceError, match=f"{name}= of retry is {value!r}"):
        retry(on=OSError, **{name: value})


def _generator() -> Iterator[int]:
    yield 1


async def _async_generator() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("function", [_generator, _async_generator, 7])
def test_what_cannot_be_repeated_is_refused(function: Any) -> None:
    with pytest.raises(LmserviceError, match="retry decorates functions"):
        retry(on=OSError)(function)


# What is told of it.


@forms
async def test_retries_are_counted_by_name(form: Callable[..., Any], registry: CollectorRegistry) -> None:
    with pytest.raises(ConnectionError):
        await form(endless(), on=ConnectionError, attempts=4, name="supplier", registry=registry)
    assert registry.get_sample_value(NAME, {"name": "supplier"}) == 3


async def test_without_a_name_it_is_the_functions(registry: CollectorRegistry) -> None:
    await decorated(Flaky(OSError()), on=OSError, registry=registry)
    await iterated(Flaky(OSError()), on=OSError, registry=registry)
    await plainly_iterated(Flaky(OSError()), on=OSError, registry=registry)
    (family,) = registry.collect()
    names = {each.labels["name"].removeprefix(f"{__name__}.") for each in family.samples if each.name == NAME}
    assert names == {"Flaky.call", "iterated", "plainly_iterated"}


async def test_names_past_200_are_folded_with_one_warning(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(250):
        await decorated(Flaky(OSError()), on=OSError, name=f"user-{number}", registry=registry)
    assert registry.get_sample_value(NAME, {"name": "_OTHER"}) == 50
    (warning,) = [each for each in caplog.records if each.name == "lmservice.labels"]
    assert "label name " in warning.getMessage()


async def test_nothing_is_counted_when_the_first_attempt_succeeds(registry: CollectorRegistry) -> None:
    for form in (decorated, iterated, plainly_decorated, plainly_iterated):
        await form(Flaky(), on=OSError, registry=registry)
    assert list(registry.collect()) == []


async def test_each_retry_has_a_log_line(caplog: pytest.LogCaptureFixture, registry: CollectorRegistry) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(ConnectionError):
        await decorated(endless(), on=ConnectionError, attempts=3, name="supplier", registry=registry)
    lines = [vars(each) for each in caplog.records if each.name == "lmservice.retrying"]
    assert [(each["msg"], each["retry"], each["attempt"], each["error"]) for each in lines] == [
        ("lmservice.retry", "supplier", 1, "ConnectionError: 1"),
        ("lmservice.retry", "supplier", 2, "ConnectionError: 2"),
    ]


async def test_outside_of_a_service_it_is_counted_in_prometheus_clients_own_registry() -> None:
    await decorated(Flaky(OSError()), on=OSError, name="outside")
    assert REGISTRY.get_sample_value(NAME, {"name": "outside"}) == 1


@retry(on=OSError, name="at import", wait_initial=0)
async def decorated_at_import(flaky: Flaky) -> str:
    return flaky.plain()


def test_retries_are_in_the_registry_of_the_service_that_the_code_runs_in() -> None:
    """In real time: sockets are about."""
    services = [Service(name, routes=[]) for name in ("one", "other")]

    async def run() -> None:
        for service in services:
            service.startup_job(name="job")(lambda: asyncio.run(decorated_at_import(Flaky(OSError()))))

            @service.startup_job
            async def other_job() -> str:
                return await decorated_at_import(Flaky(OSError(), OSError()))

            async with running(service):
                pass

    asyncio.run(run())
    for service in services:
        assert service.metrics.registry.get_sample_value(NAME, {"name": "at import"}) == 3


def test_a_first_success_costs_next_to_nothing() -> None:
    def bare(number: int) -> int:
        return number

    repeated = retry(on=OSError)(bare)
    began = time.process_time()
    for number in range(20_000):
        repeated(number)
    assert (time.process_time() - began) / 20_000 < 20e-6
