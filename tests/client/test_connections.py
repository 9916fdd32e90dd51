"""The connections of a client: how many calls have one at once, who waits, and that none is lost whatever happens."""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from flaky import DRIP, HANG, Answer, Flaky
from prometheus_client import CollectorRegistry

from lmservice import CircuitOpen, Client, ClientPolicy, DeadlineExceeded, LmserviceError, Service
from lmservice.client import pool
from lmservice.client.connection_limit import ConnectionLimit
from lmservice.testing import captured_logs, running

pytestmark = pytest.mark.anyio
MakeClient = Callable[..., Client]
Sample = Callable[..., float]
WAITED = "lmservice_client_pool_wait_seconds"


def client_to(server: Flaky, registry: CollectorRegistry, connections: int = 500, **policy: Any) -> Client:
    given = ClientPolicy(backoff_initial=0.001, **policy)
    return Client(server.url, name="test", policy=given, registry=registry, max_connections=connections)


async def outcome(client: Client, **options: Any) -> str:
    try:
        return str((await client.get("/", **options)).status_code)
    except httpx.HTTPError as error:
        return type(error).__name__


async def test_a_host_that_hung_under_many_calls_is_reached_again_once_it_is_well(
    server: Flaky, registry: CollectorRegistry
) -> None:
    policy: dict[str, Any] = {"timeout": 0.2, "attempts": 1, "breaker_minimum_calls": 10_000}
    async with client_to(server, registry, 20, **policy) as client:
        for _ in range(3):
            server.always(HANG)
            ends = await asyncio.gather(*[outcome(client) for _ in range(60)])
            assert Counter(ends) == {"TimeoutException": 60}
        server.always(200)
        assert await asyncio.gather(*[outcome(client) for _ in range(60)]) == ["200"] * 60


async def test_calls_that_are_cancelled_in_line_or_under_way_leave_no_place_behind(
    server: Flaky, registry: CollectorRegistry
) -> None:
    server.always(HANG)
    async with client_to(server, registry, 3) as client:
        for number in range(40):
            tasks = [asyncio.create_task(outcome(client)) for _ in range(9)]
            for _ in range(number % 20):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        server.always(200)
        assert await asyncio.gather(*[outcome(client) for _ in range(9)]) == ["200"] * 9


async def test_no_more_calls_are_under_way_than_there_are_connections_and_the_rest_wait_their_turn(
    server: Flaky, registry: CollectorRegistry, sample: Sample
) -> None:
    server.always(Answer(delay=0.1))
    most = 0
    async with client_to(server, registry, 5) as client:
        calls = asyncio.gather(*[outcome(client) for _ in range(20)])
        while not calls.done():
            most = max(most, server.under_way)
            await asyncio.sleep(0.01)
        assert await calls == ["200"] * 20
    assert most == server.connections == 5
    assert sample(f"{WAITED}_count") == 20
    assert sample(f"{WAITED}_sum") > 0.1 * 5


async def test_the_wait_for_a_connection_is_never_held_against_the_host(
    server: Flaky, registry: CollectorRegistry, sample: Sample
) -> None:
    server.always(Answer(delay=0.15))
    policy: dict[str, Any] = {"timeout": 0.3, "deadline": 0.4, "attempts": 1}
    async with client_to(server, registry, 2, **policy) as client:
        ends = Counter(await asyncio.gather(*[outcome(client) for _ in range(40)]))
        assert set(ends) == {"200", "DeadlineExceeded"}
        assert sample("lmservice_client_breaker_state", state="closed") == 1
        assert await outcome(client) == "200"


async def test_a_deadline_that_ends_in_line_names_the_limit(server: Flaky, registry: CollectorRegistry) -> None:
    server.always(DRIP)
    async with client_to(server, registry, 1, deadline=0.2) as client, client.stream("GET", "/"):
        with pytest.raises(DeadlineExceeded, match=r"no connection of 1 \(max_connections= of the client\) .* 0\.2 s"):
            await client.get("/")


async def test_those_in_line_are_told_at_once_when_the_breaker_opens(
    server: Flaky, registry: CollectorRegistry
) -> None:
    server.always(HANG)
    policy: dict[str, Any] = {"timeout": 0.2, "deadline": 60, "attempts": 1, "breaker_minimum_calls": 2}
    async with asyncio.timeout(5), client_to(server, registry, 2, **policy) as client:
        ends = Counter(await asyncio.gather(*[outcome(client) for _ in range(30)]))
    assert ends["TimeoutException"] + ends["CircuitOpen"] == 30
    assert ends["TimeoutException"] <= 4


async def test_a_call_that_would_wait_for_an_open_host_is_refused_at_once(
    server: Flaky, registry: CollectorRegistry
) -> None:
    policy: dict[str, Any] = {"timeout": 5, "attempts": 1, "breaker_minimum_calls": 2}
    async with asyncio.timeout(5), client_to(server, registry, 2, **policy) as client:
        server.then(HANG, 500, 500)
        hanging = asyncio.create_task(outcome(client))
        await asyncio.sleep(0.1)
        await asyncio.gather(outcome(client), outcome(client))
        with pytest.raises(CircuitOpen):
            await client.get("/")
        hanging.cancel()


async def test_a_connection_that_the_host_closed_is_not_used_again(server: Flaky, client_of: MakeClient) -> None:
    server.then(Answer(headers={"connection": "close"}))
    async with client_of(attempts=1) as client:
        assert [await outcome(client), await outcome(client), await outcome(client)] == ["200"] * 3
    assert server.connections == 2


async def test_connections_to_hosts_that_are_called_no_longer_are_closed(
    server: Flaky, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "EXPIRY", 0.05)
    async with Flaky() as other, client_to(other, registry) as client:
        await client.get(server.url)
        await asyncio.sleep(0.1)
        await client.get("/")
        async with asyncio.timeout(5):
            while server.open:  # noqa: ASYNC110 - the server sets no event
                await asyncio.sleep(0.01)
        assert other.open == 1


async def test_idle_connections_are_kept_to_so_many_hosts(
    server: Flaky, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "HOSTS", 1)
    async with Flaky() as other, client_to(other, registry) as client:
        for url in (server.url, "/", "/"):
            await client.get(url)
        async with asyncio.timeout(5):
            while server.open:  # noqa: ASYNC110 - the server sets no event
                await asyncio.sleep(0.01)
        assert (other.open, other.connections) == (1, 1)


async def test_the_pool_of_a_transport_of_ones_own_loses_none(server: Flaky, registry: CollectorRegistry) -> None:
    transport = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=4))
    policy = ClientPolicy(attempts=1, timeout=0.2, breaker_minimum_calls=10_000)
    async with Client(server.url, policy=policy, transport=transport, registry=registry) as client:
        server.always(HANG)
        for number in range(30):
            tasks = [asyncio.create_task(outcome(client)) for _ in range(8)]
            for _ in range(number):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        server.always(200)
        assert await asyncio.gather(*[outcome(client) for _ in range(8)]) == ["200"] * 8


async def test_a_streamed_answer_has_its_connection_until_it_is_closed(
    server: Flaky, registry: CollectorRegistry
) -> None:
    async with client_to(server, registry, 1) as client:
        server.always(DRIP)
        async with client.stream("GET", "/") as response:
            second = asyncio.create_task(outcome(client))
            await asyncio.sleep(0.05)
            assert response.status_code == 200
            assert len(server.asked) == 1
            server.always(200)
        assert await second == "200"


async def test_an_answer_that_is_never_closed_is_told_with_its_place_and_its_connection_taken_back(
    server: Flaky, registry: CollectorRegistry
) -> None:
    service = Service("forgetful", routes=[])
    with captured_logs() as events:
        async with running(service), client_to(server, registry, 1) as client:
            await client.stream("GET", "/leaked").__aenter__()
            gc.collect()
            assert await outcome(client) == "200"
    (leak,) = [event for event in events if event["event"] == "lmservice.client_stream_leaked"]
    assert "test_connections.py:" in leak["place"]
    assert "test_an_answer_that_is_never_closed" in leak["place"]
    assert (leak["client"], leak["host"], leak["method"]) == ("test", server.host, "GET")


async def test_an_answer_open_when_its_client_closes_is_told(server: Flaky, registry: CollectorRegistry) -> None:
    with captured_logs() as events:
        async with client_to(server, registry) as client:
            stream = client.stream("GET", "/")
            response = await stream.__aenter__()
        await stream.__aexit__(None, None, None)
    assert response.status_code == 200
    assert [event["error"] for event in events if event["event"] == "lmservice.client_stream_leaked"] == [
        "the client was closed while the answer was open"
    ]


async def test_a_cookie_of_one_answer_goes_out_with_no_other_call(server: Flaky, registry: CollectorRegistry) -> None:
    server.then(Answer(headers={"set-cookie": "session=of-ann; Path=/"}))
    async with client_to(server, registry) as client:
        await client.get("/login")
        await client.get("/account")
        await client.get("/given", cookies={"session": "of-bob"})
    assert [each.headers.get("cookie") for each in server.asked] == [None, None, "session=of-bob"]


async def test_cookies_are_kept_where_that_is_asked_for(server: Flaky) -> None:
    server.then(Answer(headers={"set-cookie": "session=of-ann; Path=/"}))
    async with Client(server.url, keep_cookies=True) as client:
        await client.get("/login")
        await client.get("/account")
    assert server.asked[1].headers["cookie"] == "session=of-ann"


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "5"])
def test_a_number_of_connections_that_makes_no_sense_is_refused_by_name(wrong: Any) -> None:
    with pytest.raises(LmserviceError, match="max_connections"):
        Client("http://api.example", max_connections=wrong)


async def test_a_bare_client_counts_in_the_service_in_whose_context_it_is_opened(server: Flaky) -> None:
    inside = Service("inside", routes=[])

    @inside.startup_job
    async def upstream(_state: Any) -> AsyncIterator[Client]:
        async with Client(server.url, name="bare") as client:
            await client.get("/")
            yield client

    async with running(inside) as service, httpx.AsyncClient() as http:
        text = (await http.get(f"{service.management_url}/metrics")).text
    assert f'lmservice_client_breaker_state{{client="bare",host="{server.host}",state="closed"}} 1.0' in text


async def test_places_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    places, order = ConnectionLimit(1), list[int]()
    assert places.take_at_once()

    async def wait(number: int) -> None:
        assert await places.take()
        order.append(number)
        places.give_back()

    tasks = [asyncio.create_task(wait(number)) for number in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    places.give_back()
    await asyncio.wait(tasks)
    assert order == [0, 2, 3]
    assert places.take_at_once()


async def test_a_call_under_way_when_its_client_closes_fails_with_what_ended_it(
    server: Flaky, registry: CollectorRegistry
) -> None:
    server.always(HANG)
    client = client_to(server, registry)
    async with client:
        call = asyncio.create_task(outcome(client))
        while not server.under_way:  # noqa: ASYNC110 - a counter sets no event
            await asyncio.sleep(0.01)
    assert await call == "ReadError"
