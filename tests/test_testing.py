"""`lmservice.testing.running`, which users' own tests stand on."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from lmservice import Service, Settings
from lmservice.errors import ServiceDefinitionError, SettingsError, StartError
from lmservice.testing import running

pytestmark = pytest.mark.anyio


class Greeting(Settings):
    greeting: str = "hello"


def service() -> Service:
    async def greet(request: Request) -> Response:
        return PlainTextResponse(request.state.settings.greeting)

    return Service("tested", routes=[Route("/", greet)], settings=Greeting)


async def get(url: str) -> httpx.Response:
    async with httpx.AsyncClient(verify=False) as client:
        return await client.get(url)


async def test_it_is_ready_when_entered_and_gone_when_left() -> None:
    async with running(service()) as each:
        assert (await get(each.url)).text == "hello"
        assert (await get(f"{each.management_url}/readyz")).json()["state"] == "ready"
    for url in (each.url, f"{each.management_url}/livez"):
        with pytest.raises(httpx.ConnectError):
            await get(url)


async def test_its_urls_are_bases_on_the_loopback() -> None:
    async with running(service()) as each:
        for url in (each.url, each.management_url):
            assert url.startswith("http://127.0.0.1:")
            assert not url.endswith("/")
        assert each.url != each.management_url


async def test_settings_are_given_by_name_above_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LM_GREETING", "from the environment")
    async with running(service()) as each:
        assert (await get(each.url)).text == "from the environment"
    async with running(service(), greeting="given") as each:
        assert (await get(each.url)).text == "given"


async def test_stop_gives_the_report_of_stop_and_may_be_called_again() -> None:
    async with running(service()) as each:
        await get(each.url)
        report = await each.stop()
        assert {"status", "seconds", "phases", "requests"} <= set(report)
        assert report["status"] == "stopped"
        assert set(report["phases"]) == {"drain_delay", "drain", "cleanup"}
        assert set(report["requests"]) == {"served", "cancelled"}
        assert await each.stop() == report


async def test_stop_calls_at_once_join_one_drain_with_the_endpoints() -> None:
    async with running(service()) as each:
        first, second, answer = await asyncio.gather(each.stop(), each.stop(), get(f"{each.management_url}/stop"))
        assert first == second == answer.json()


async def test_a_request_in_flight_is_served_before_the_clean_up() -> None:
    each = service()
    order: list[str] = []

    async def slow(_: Request) -> Response:
        await asyncio.sleep(0.3)
        order.append("answered")
        return PlainTextResponse("slow")

    async def job() -> AsyncIterator[None]:
        yield
        order.append("cleaned up")

    each = Service("tested", routes=[Route("/", slow)])
    each.startup_job()(job)
    async with running(each) as it:
        answer = asyncio.create_task(get(it.url))
        await asyncio.sleep(0.15)
        report = await it.stop()
    assert (await answer).text == "slow"
    assert order == ["answered", "cleaned up"]
    assert report["requests"] == {"served": 1, "cancelled": 0}


async def test_a_start_that_fails_raises_with_the_jobs_name() -> None:
    each = service()

    async def broken() -> None:
        raise OSError("no such table")

    each.startup_job()(broken)
    with pytest.raises(StartError, match=r"'broken'.*OSError: no such table"):
        async with running(each):
            pytest.fail("it was entered")


async def test_a_start_that_takes_too_long_raises_with_the_jobs_name() -> None:
    each = service()

    async def slow() -> None:
        await asyncio.sleep(60)

    each.startup_job()(slow)
    with pytest.raises(StartError, match="'slow'"):
        async with running(each, startup_timeout=0.1):
            pytest.fail("it was entered")


async def test_bad_settings_and_a_bad_graph_raise_before_anything_starts() -> None:
    with pytest.raises(SettingsError, match="LM_DRAIN_TIMEOUT"):
        async with running(service(), drain_timeout=-1):
            pytest.fail("it was entered")
    each = service()
    each.startup_job(name="job", after=["nonesuch"])(lambda: None)
    with pytest.raises(ServiceDefinitionError, match="nonesuch"):
        async with running(each):
            pytest.fail("it was entered")


async def test_an_error_of_the_tests_own_comes_through_and_the_service_stops() -> None:
    cleaned: list[str] = []
    each = service()

    async def job() -> AsyncIterator[None]:
        yield
        cleaned.append("up")

    each.startup_job()(job)
    with pytest.raises(LookupError, match="the test's"):
        async with running(each):
            raise LookupError("the test's")
    assert cleaned == ["up"]


async def test_nothing_of_it_stays_behind() -> None:
    before = asyncio.all_tasks()
    async with running(service()) as each:
        await get(each.url)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
