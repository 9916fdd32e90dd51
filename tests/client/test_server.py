"""Calls over real sockets, to a server that misbehaves."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from flaky import DRIP, HANG, RESET, Answer, Flaky

from lmservice import CircuitOpen, Client, DeadlineExceeded, LmserviceError

pytestmark = pytest.mark.anyio
MakeClient = Callable[..., Client]


async def test_answers_are_httpxs_of_every_method(server: Flaky, client_of: MakeClient) -> None:
    async with client_of() as client:
        for method in ("get", "head", "options", "post", "put", "patch", "delete"):
            response = await getattr(client, method)(f"/{method}", params={"a": "1"}, headers={"X-Given": method})
            assert isinstance(response, httpx.Response)
            assert response.content == (b"" if method == "head" else b"well")
    assert [each.method.lower() for each in server.asked] == [each.path.split("?")[0][1:] for each in server.asked]
    assert all(each.path.endswith("?a=1") and each.headers["x-given"] for each in server.asked)
    assert server.connections == 1


async def test_urls_are_relative_to_the_base_or_absolute(server: Flaky) -> None:
    async with Client(f"{server.url}/v1") as client, Flaky() as other:
        await client.get("users")
        await client.get("/users")
        await client.get(f"{other.url}/elsewhere")
    assert server.paths == ["/v1/users", "/v1/users"]
    assert other.paths == ["/elsewhere"]


async def test_a_server_that_recovers_is_asked_until_it_has(server: Flaky, client_of: MakeClient) -> None:
    server.then(503, RESET)
    async with client_of() as client:
        response = await client.get("/", headers={"X-Given": "kept"})
    assert response.text == "well"
    assert [each.headers["x-given"] for each in server.asked] == ["kept"] * 3


async def test_a_body_is_sent_again_whole(server: Flaky, client_of: MakeClient) -> None:
    server.then(502, 504)
    async with client_of() as client:
        await client.put("/", json={"a": 1})
    assert [each.body for each in server.asked] == [b'{"a":1}'] * 3


async def test_a_body_that_can_be_sent_only_once_is(server: Flaky, client_of: MakeClient) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"once"

    server.always(503)
    async with client_of() as client:
        response = await client.put("/", content=body())
    assert response.status_code == 503
    assert len(server.asked) == 1


async def test_the_last_answer_is_given_with_its_body(server: Flaky, client_of: MakeClient) -> None:
    server.always(Answer(503, body=b"why"))
    async with client_of() as client:
        response = await client.get("/")
    assert (response.status_code, response.text) == (503, "why")
    assert len(server.asked) == 3
    assert server.connections == 1


@pytest.mark.parametrize("misdeed", [Answer(503), RESET, HANG, DRIP], ids=["503", "reset", "hang", "drip"])
async def test_a_post_is_never_sent_twice(server: Flaky, client_of: MakeClient, misdeed: Answer) -> None:
    server.always(misdeed)
    async with client_of(timeout=0.2) as client:
        try:
            assert (await client.post("/", content=b"order")).status_code == 503
        except httpx.TransportError:
            assert misdeed.status != 503
    assert len(server.asked) == 1


async def test_a_post_on_a_connection_that_the_server_has_closed_meanwhile_is_an_error_or_new_but_never_twice(
    server: Flaky, client_of: MakeClient
) -> None:
    server.then(200, RESET)
    async with client_of() as client:
        await client.get("/")
        with pytest.raises(httpx.TransportError):
            await client.post("/")
    assert len(server.asked) == 2


async def test_a_host_that_refuses_connections_is_tried_so_often(server: Flaky, client_of: MakeClient) -> None:
    server._server.close()
    async with client_of() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("/")


async def test_an_answer_that_drips_has_the_timeout_of_any_other(server: Flaky, client_of: MakeClient) -> None:
    server.then(DRIP)
    async with client_of(timeout=0.2) as client:
        began = time.monotonic()
        response = await client.get("/")
    assert response.text == "well"
    assert 0.2 <= time.monotonic() - began < 1


@pytest.mark.parametrize("misdeed", [HANG, DRIP], ids=["hang", "drip"])
async def test_the_deadline_ends_a_call_whatever_the_server_does(
    server: Flaky, client_of: MakeClient, misdeed: Answer
) -> None:
    server.always(misdeed)
    async with client_of(timeout=10, deadline=0.3) as client:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match=server.host):
            await client.get("/")
        assert 0.3 <= time.monotonic() - began < 0.8
        server.always(200)
        assert (await client.get("/")).status_code == 200


async def test_calls_that_were_cut_off_leave_no_connection_behind(server: Flaky, client_of: MakeClient) -> None:
    """A pool has 100 connections: were they lost, the last call could not be made."""
    server.always(HANG)
    async with client_of(timeout=0.3, attempts=1, breaker_minimum_calls=1000) as client:
        found = await asyncio.gather(*(client.get("/") for _ in range(150)), return_exceptions=True)
        assert {type(each) for each in found} == {httpx.TimeoutException}
        tasks = [asyncio.create_task(client.get("/")) for _ in range(150)]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        server.always(200)
        assert (await client.get("/")).status_code == 200


async def test_many_calls_at_once_each_have_their_own_answer(server: Flaky, client_of: MakeClient) -> None:
    async def call(client: Client, number: int) -> bool:
        response = await client.get(f"/{number}")
        return response.request.url.path == f"/{number}"

    server.then(*[Answer(503), Answer(), Answer(), RESET, Answer()] * 20)
    async with client_of(budget_floor=1000, breaker_minimum_calls=1000) as client:
        assert all(await asyncio.gather(*(call(client, number) for number in range(100))))
    seen = Counter(server.paths)
    assert len(seen) == 100
    assert max(seen.values()) <= 3
    assert sum(seen.values()) == 140


@pytest.mark.parametrize("misdeed", [Answer(503), RESET], ids=["503", "reset"])
async def test_when_everything_fails_the_load_stays_within_the_budget(
    server: Flaky, client_of: MakeClient, sample: Any, misdeed: Answer
) -> None:
    server.always(misdeed)
    calls = 0
    async with client_of(breaker_minimum_calls=10**9, attempts=5) as client:
        began = time.monotonic()
        while calls < 300 or time.monotonic() - began < 1.2:
            found = await asyncio.gather(*(client.get("/") for _ in range(20)), return_exceptions=True)
            assert not [each for each in found if isinstance(each, LmserviceError)]
            calls += 20
        seconds = time.monotonic() - began
    retries = len(server.asked) - calls
    assert retries <= 0.2 * calls + 10 * math.ceil(seconds)
    assert retries >= 0.15 * calls
    assert sample("lmservice_client_retries_total") == retries
    assert sample("lmservice_client_retry_budget_exhausted_total") > 0


async def test_the_budget_is_each_hosts_own(server: Flaky, client_of: MakeClient) -> None:
    server.always(503)
    async with client_of(budget_floor=1, budget_ratio=0) as client, Flaky() as other:
        for _ in range(5):
            await client.get("/")
        other.then(503)
        assert (await client.get(other.url)).status_code == 200
    assert len(server.asked) == 6


async def test_the_breaker_opens_half_opens_and_closes(server: Flaky, client_of: MakeClient, sample: Any) -> None:
    def state() -> set[str]:
        states = ("closed", "half_open", "open")
        return {name for name in states if sample("lmservice_client_breaker_state", state=name)}

    server.always(500)
    async with client_of(breaker_minimum_calls=4, breaker_open=0.3) as client:
        for _ in range(4):
            await client.get("/")
        assert state() == {"open"}
        with pytest.raises(CircuitOpen, match=rf"{server.host}.*ClientPolicy\.breaker_failure_ratio, 0\.5"):
            await client.get("/")
        assert len(server.asked) == 4
        await asyncio.sleep(0.3)
        server.then(Answer(delay=0.2))
        server.always(200)
        probe = asyncio.create_task(client.get("/"))
        await asyncio.sleep(0.1)
        assert state() == {"half_open"}
        for _ in range(10):
            with pytest.raises(CircuitOpen):
                await client.get("/")
        assert (await probe).status_code == 200
        assert len(server.asked) == 5
        assert state() == {"closed"}
        assert (await client.get("/")).status_code == 200


async def test_a_cancelled_probe_does_not_leave_the_breaker_half_open(server: Flaky, client_of: MakeClient) -> None:
    server.always(500)
    async with client_of(breaker_minimum_calls=2, breaker_open=0.1) as client:
        for _ in range(2):
            await client.get("/")
        await asyncio.sleep(0.11)
        server.then(HANG)
        server.always(200)
        probe = asyncio.create_task(client.get("/"))
        await asyncio.sleep(0.1)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/")).status_code == 200


async def test_an_open_breaker_ends_the_retries_and_the_answer_stands(server: Flaky, client_of: MakeClient) -> None:
    server.always(503)
    async with client_of(breaker_minimum_calls=2, attempts=10) as client:
        assert (await client.get("/")).status_code == 503
    assert len(server.asked) == 2


async def test_4xx_and_429_do_not_open_the_breaker(server: Flaky, client_of: MakeClient) -> None:
    async with client_of(breaker_minimum_calls=2) as client:
        for status in (400, 404, 408, 429) * 5:
            server.then(status)
            assert (await client.get("/")).status_code == status


async def test_one_hosts_breaker_is_not_anothers(server: Flaky, client_of: MakeClient) -> None:
    server.always(500)
    async with client_of(breaker_minimum_calls=2) as client, Flaky() as other:
        for _ in range(2):
            await client.get("/")
        assert (await client.get(other.url)).status_code == 200
        with pytest.raises(CircuitOpen):
            await client.get("/")


async def test_a_stream_is_given_once_its_head_has_come_and_closed_after(server: Flaky, client_of: MakeClient) -> None:
    server.then(503, HANG, DRIP)
    async with client_of(timeout=0.2, deadline=0.6) as client:
        async with client.stream("GET", "/") as response:
            assert response.status_code == 200
            began, pieces = time.monotonic(), 0
            async for _ in response.aiter_raw():
                pieces += 1
                if time.monotonic() - began > 1:
                    break
        assert pieces > 10
        assert response.is_closed
    assert len(server.asked) == 3


async def test_a_stream_that_stalls_ends_at_the_timeout(server: Flaky, client_of: MakeClient) -> None:
    server.then(Answer(headers={"content-length": "100"}, body=b"and then"))
    async with asyncio.timeout(5), client_of(timeout=0.2) as client:
        with pytest.raises(httpx.ReadTimeout):
            async with client.stream("GET", "/") as response:
                await response.aread()
    assert len(server.asked) == 1


async def test_redirects_are_followed_only_where_asked(server: Flaky, client_of: MakeClient) -> None:
    server.then(Answer(302, {"location": "/there"}), Answer(302, {"location": "/there"}))
    async with client_of() as client:
        assert (await client.get("/")).status_code == 302
        assert (await client.get("/", follow_redirects=True)).status_code == 200
    assert server.paths == ["/", "/", "/there"]


async def test_a_client_that_is_not_open_says_so(server: Flaky, client_of: MakeClient) -> None:
    client = client_of()
    with pytest.raises(LmserviceError, match="not open"):
        await client.get("/")
    async with client:
        await client.get("/")
        with pytest.raises(LmserviceError, match="open already"):
            await client.__aenter__()
        await client.get("/")
    with pytest.raises(LmserviceError, match=f"'test' of {server.host}.*not open"):
        async with client.stream("GET", "/"):
            pass


async def test_a_client_may_be_opened_again_with_nothing_held_against_its_hosts(
    server: Flaky, client_of: MakeClient, sample: Any
) -> None:
    client = client_of(breaker_minimum_calls=2)
    server.always(500)
    async with client:
        for _ in range(2):
            await client.get("/")
        with pytest.raises(CircuitOpen):
            await client.get("/")
    server.always(200)
    async with client:
        assert (await client.get("/")).status_code == 200
    assert sample("lmservice_client_breaker_state", state="closed") == 1
    assert sample("lmservice_client_breaker_state", state="open") == 0
