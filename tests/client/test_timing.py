"""When a call is repeated, how long it waits, and when it gives up: in virtual time, on a transport that takes some."""

import asyncio
import email.utils
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, NamedTuple

import httpx
import pytest
from clock import VIRTUAL
from prometheus_client import CollectorRegistry

from lmservice import CircuitOpen, Client, ClientPolicy, DeadlineExceeded, LmserviceError
from lmservice.telemetry import context

pytestmark = pytest.mark.anyio
URL = "http://api.example"
NEVER = 1e6


@pytest.fixture(scope="module")
def anyio_backend() -> Any:
    return VIRTUAL


class Far:
    """A host that is far away: each call to it takes its time, in virtual seconds, and then ends as it is told."""

    def __init__(self, *ends: Any, seconds: float = 0.0) -> None:
        self.ends = list(ends)
        self.seconds = seconds
        self.at: list[float] = []
        self.cancelled = 0

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.at.append(asyncio.get_running_loop().time())
        end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(end, int):
            return httpx.Response(end)
        if isinstance(end, type):
            raise end("it is broken", request=request)
        assert isinstance(end, httpx.Response)
        return end

    @property
    def waits(self) -> list[float]:
        return [later - sooner for sooner, later in zip(self.at, self.at[1:], strict=False)]


@asynccontextmanager
async def calling(far: Far, **policy: Any) -> AsyncIterator[Client]:
    transport = httpx.MockTransport(far.handle)
    async with Client(URL, policy=ClientPolicy(**policy), transport=transport, registry=CollectorRegistry()) as client:
        yield client


class UnderWay(NamedTuple):
    """A request that must be answered by its deadline."""

    deadline: float | None
    request_id: str = "request"
    trace_id: str = "1" * 32
    span_id: str = "2" * 16
    trace_flags: str = "01"
    trace_state: str = ""
    baggage: str = ""


@contextmanager
def under_way(seconds: float) -> Iterator[None]:
    """Within a request that has so many seconds left."""
    token = context.request.set(UnderWay(time.monotonic() + seconds))
    try:
        yield
    finally:
        context.request.reset(token)


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_the_waits_grow_and_have_full_jitter() -> None:
    waits: list[list[float]] = []
    for _ in range(300):
        far = Far(503)
        async with calling(far, attempts=5, deadline=1000, backoff_max=0.4) as client:
            assert (await client.get("/")).status_code == 503
        waits.append(far.waits)
    assert all(len(each) == 4 for each in waits)
    for number, ceiling in enumerate([0.1, 0.2, 0.4, 0.4]):
        found = [each[number] for each in waits]
        assert max(found) <= ceiling
        assert max(found) > 0.9 * ceiling
        assert min(found) < 0.1 * ceiling
        assert 0.4 * ceiling < sum(found) / len(found) < 0.6 * ceiling


async def test_retry_after_in_seconds_is_the_least_wait() -> None:
    far = Far(httpx.Response(503, headers={"Retry-After": "3"}), 200)
    async with calling(far) as client:
        assert (await client.get("/")).status_code == 200
    assert far.waits == [3]


async def test_retry_after_as_a_date_is_the_least_wait() -> None:
    date = email.utils.formatdate(time.time() + 4, usegmt=True)
    far = Far(httpx.Response(503, headers={"Retry-After": date}), 200)
    async with calling(far) as client:
        assert (await client.get("/")).status_code == 200
    assert 2.5 < far.waits[0] <= 4


async def test_a_retry_after_of_nothing_leaves_the_wait_to_the_backoff() -> None:
    waits = []
    for _ in range(20):
        far = Far(httpx.Response(503, headers={"Retry-After": "0"}), 200)
        async with calling(far) as client:
            await client.get("/")
        waits += far.waits
    assert max(waits) > 0.02


async def test_a_retry_after_past_the_deadline_ends_the_retries_at_once() -> None:
    far = Far(httpx.Response(503, headers={"Retry-After": "6"}))
    async with calling(far, deadline=5) as client:
        began = now()
        response = await client.get("/")
        assert (response.status_code, now() - began) == (503, 0)
    assert len(far.at) == 1


async def test_a_retry_after_past_the_incoming_requests_deadline_ends_the_retries_at_once() -> None:
    far = Far(httpx.Response(503, headers={"Retry-After": "3"}))
    async with calling(far) as client:
        with under_way(2):
            assert (await client.get("/")).status_code == 503
    assert len(far.at) == 1


async def test_429_is_repeated_only_where_it_says_when() -> None:
    silent = Far(429)
    async with calling(silent) as client:
        assert (await client.get("/")).status_code == 429
    assert len(silent.at) == 1
    told = Far(httpx.Response(429, headers={"Retry-After": "1"}), 200)
    async with calling(told) as client:
        assert (await client.get("/")).status_code == 200
    assert told.waits == [1]


async def test_429_without_retry_after_is_not_repeated_though_it_is_among_the_statuses() -> None:
    far = Far(429)
    async with calling(far, retry_statuses={429}) as client:
        await client.get("/")
    assert len(far.at) == 1


async def test_calls_that_an_open_breaker_refuses_earn_no_retries() -> None:
    far = Far(500)
    async with calling(far, breaker_minimum_calls=2, budget_floor=0, budget_ratio=0.5) as client:
        for _ in range(100):
            with suppress(CircuitOpen):
                await client.get("/")
        budget = client._hosts.of(httpx.URL(URL)).budget
        assert [budget.spend(now()) for _ in range(3)] == [True, False, False]


async def test_an_answer_that_is_repeated_is_closed() -> None:
    class Body(httpx.AsyncByteStream):
        closed = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"never read"

        async def aclose(self) -> None:
            self.closed = True

    body = Body()
    far = Far(httpx.Response(503, stream=body), 200)
    async with calling(far) as client, client.stream("GET", "/") as response:
        assert response.status_code == 200
        assert body.closed


async def test_a_call_has_no_timeout_of_its_own() -> None:
    async with calling(Far(200)) as client:
        with pytest.raises(LmserviceError, match=r"ClientPolicy\.timeout"):
            await client.get("/", timeout=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("status", [200, 304, 400, 404, 408, 500, 501])
async def test_no_other_answer_is_asked_for_twice(status: int) -> None:
    far = Far(status)
    async with calling(far) as client:
        assert (await client.get("/")).status_code == status
    assert len(far.at) == 1


async def test_an_attempt_has_its_timeout_and_is_then_repeated() -> None:
    far = Far(200, seconds=NEVER)
    async with calling(far, timeout=1, deadline=1000, backoff_initial=0) as client:
        began = now()
        with pytest.raises(httpx.TimeoutException, match=r"api\.example.*ClientPolicy\.timeout, 1 s") as caught:
            await client.get("/")
        assert not isinstance(caught.value, DeadlineExceeded)
        assert now() - began == 3
    assert far.waits == [1, 1]
    assert far.cancelled == 3


async def test_the_deadline_bounds_the_attempts_and_the_waits_together() -> None:
    far = Far(200, seconds=NEVER)
    async with calling(far, timeout=2, deadline=5, attempts=100) as client:
        began = now()
        with pytest.raises(DeadlineExceeded, match=r"GET api\.example.*ClientPolicy\.deadline, 5 s") as caught:
            await client.get("/")
        assert now() - began == 5
    assert isinstance(caught.value, LmserviceError)
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, httpx.TimeoutException)
    assert caught.value.request.url == f"{URL}/"
    assert far.cancelled == len(far.at) >= 3


async def test_the_incoming_requests_deadline_bounds_a_call_too() -> None:
    far = Far(200, seconds=NEVER)
    async with calling(far) as client:
        began = now()
        with under_way(1), pytest.raises(DeadlineExceeded, match=r"request under way.*ClientPolicy\.deadline is 5 s"):
            await client.get("/")
        assert now() - began == pytest.approx(1, abs=0.2)


async def test_past_the_incoming_requests_deadline_nothing_is_called() -> None:
    far = Far(200)
    async with calling(far) as client:
        with under_way(-1), pytest.raises(DeadlineExceeded, match="request under way"):
            await client.get("/")
    assert far.at == []


async def test_a_later_incoming_deadline_does_not_lengthen_the_calls_own() -> None:
    far = Far(200, seconds=NEVER)
    async with calling(far, timeout=10, deadline=3) as client:
        began = now()
        with under_way(100), pytest.raises(DeadlineExceeded, match=r"ClientPolicy\.deadline, 3 s"):
            await client.get("/")
        assert now() - began == 3


async def test_when_attempts_end_the_last_error_comes_through_as_it_is() -> None:
    far = Far(httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError)
    async with calling(far) as client:
        with pytest.raises(httpx.RemoteProtocolError, match="it is broken"):
            await client.get("/")
    assert len(far.at) == 3


@pytest.mark.parametrize("error", [httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.DecodingError])
async def test_an_error_that_another_attempt_would_not_mend_is_not_repeated(error: type[Exception]) -> None:
    far = Far(error)
    async with calling(far) as client:
        with pytest.raises(error):
            await client.get("/")
    assert len(far.at) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
@pytest.mark.parametrize("end", [503, httpx.ConnectError])
async def test_idempotent_methods_are_repeated(method: str, end: Any) -> None:
    far = Far(end, 200)
    async with calling(far) as client:
        assert (await client.request(method, "/")).status_code == 200
    assert len(far.at) == 2


@pytest.mark.parametrize("method", ["POST", "PATCH", "PURGE"])
@pytest.mark.parametrize("end", [503, httpx.Response(429, headers={"Retry-After": "0"}), httpx.ConnectError])
async def test_any_other_method_is_sent_once(method: str, end: Any) -> None:
    far = Far(end)
    async with calling(far) as client:
        try:
            await client.request(method, "/", content=b"order")
        except httpx.ConnectError:
            assert end is httpx.ConnectError
    assert len(far.at) == 1


async def test_any_other_method_is_sent_once_though_it_takes_too_long() -> None:
    far = Far(200, seconds=NEVER)
    async with calling(far) as client:
        with pytest.raises(httpx.TimeoutException):
            await client.post("/", json={})
    assert len(far.at) == 1


async def test_a_method_that_is_asked_for_is_repeated() -> None:
    far = Far(503, 200)
    async with calling(far, retry_methods={"POST"}) as client:
        assert (await client.post("/", json={"order": 1})).status_code == 200
    assert len(far.at) == 2


async def test_one_attempt_is_one() -> None:
    far = Far(503)
    async with calling(far, attempts=1) as client:
        await client.get("/")
    assert len(far.at) == 1


async def test_a_caller_that_is_cancelled_leaves_at_once_in_an_attempt_as_in_a_wait() -> None:
    hanging = Far(200, seconds=NEVER)
    waiting = Far(httpx.Response(503, headers={"Retry-After": "4"}))
    for far in (hanging, waiting):
        async with calling(far) as client:
            began = now()
            task = asyncio.create_task(client.get("/"))
            await asyncio.sleep(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert now() - began == 1
            assert len(far.at) == 1


async def test_a_callers_own_timeout_is_not_taken_for_the_clients() -> None:
    far = Far(200, seconds=NEVER)
    async with calling(far) as client:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(1):
                await client.get("/")
    assert not isinstance(caught.value, DeadlineExceeded | httpx.HTTPError)
    assert len(far.at) == 1


async def test_attempts_that_a_near_deadline_cuts_short_do_not_open_the_breaker() -> None:
    far = Far(200, seconds=1)
    async with calling(far) as client:
        for _ in range(20):
            with under_way(0.5), pytest.raises(DeadlineExceeded):
                await client.get("/")
        assert (await client.get("/")).status_code == 200


async def test_attempts_that_had_their_time_open_it() -> None:
    far = Far(200, seconds=NEVER)
    async with calling(far, timeout=2, deadline=1, breaker_minimum_calls=3) as client:
        for _ in range(3):
            with pytest.raises(DeadlineExceeded):
                await client.get("/")
        began = now()
        with pytest.raises(LmserviceError, match="breaker_failure_ratio"):
            await client.get("/")
        assert now() == began
