"""Clients of a service, whose handlers call out."""

import asyncio
import time
from typing import Any

import pytest
from flaky import HANG, Flaky
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from lmservice import Client, ClientPolicy, DeadlineExceeded, LmserviceError, Service
from lmservice.testing import running

pytestmark = pytest.mark.anyio
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Caller:
    """A service whose one handler calls a server."""

    def __init__(self, url: str, **policy: Any) -> None:
        self.service = Service("caller", routes=[Route("/", self.handle)])
        self.client: Client = self.service.client(url, name="upstream", policy=ClientPolicy(**policy))
        self.headers: dict[str, str] = {}

    async def handle(self, _request: Request) -> Response:
        try:
            response = await self.client.get("/upstream", headers=self.headers)
        except DeadlineExceeded as error:
            return PlainTextResponse(str(error), 200)
        return PlainTextResponse(response.text)


async def test_the_trace_and_the_request_id_are_passed_on(serve: Any, server: Flaky) -> None:
    served = await serve(Caller(server.url).service)
    parent = f"00-{TRACE}-00f067aa0ba902b7-01"
    headers = {"traceparent": parent, "tracestate": "vendor=1", "X-Request-ID": "request-7"}
    assert (await served.client.get("/", headers=headers)).text == "well"
    (asked,) = server.asked
    version, trace_id, span_id, flags = asked.headers["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", TRACE, "01")
    assert span_id != "00f067aa0ba902b7"
    assert asked.headers["tracestate"] == "vendor=1"
    assert asked.headers["x-request-id"] == "request-7"


async def test_what_the_caller_gives_himself_is_left_as_it_is(serve: Any, server: Flaky) -> None:
    caller = Caller(server.url)
    caller.headers = {"x-request-id": "mine", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-00"}
    served = await serve(caller.service)
    await served.client.get("/")
    assert caller.headers.items() <= server.asked[0].headers.items()
    assert "tracestate" not in server.asked[0].headers


async def test_outside_of_a_request_there_is_nothing_to_pass_on(server: Flaky) -> None:
    async with Client(server.url) as client:
        await client.get("/")
    assert not {"traceparent", "x-request-id"} & set(server.asked[0].headers)


async def test_the_incoming_requests_deadline_ends_the_call(serve: Any, server: Flaky) -> None:
    server.always(HANG)
    served = await serve(Caller(server.url).service, request_timeout=1)
    began = time.monotonic()
    response = await served.client.get("/")
    assert time.monotonic() - began < 1.8
    if response.status_code != 504:  # whichever of the two ends it first
        assert server.host in response.text
        assert "request under way" in response.text


async def test_its_metrics_are_the_services(serve: Any, server: Flaky) -> None:
    served = await serve(Caller(server.url).service)
    await served.client.get("/")
    samples = await served.metrics()
    (count,) = [
        value for name, value in samples.items() if name.startswith("http_client_request_duration_seconds_count")
    ]
    assert count == 1
    host = f'client="upstream",host="{server.host}"'
    assert samples[f"lmservice_client_retries_total{{{host}}}"] == 0
    assert samples[f'lmservice_client_breaker_state{{{host},state="closed"}}'] == 1


async def test_it_is_open_from_the_start_up_jobs_to_the_end_of_their_clean_up(server: Flaky) -> None:
    service = Service("whole", routes=[])
    client = service.client(server.url)

    @service.startup_job
    async def warm() -> Any:
        await client.get("/warm")
        yield
        await client.get("/clean-up")

    with pytest.raises(LmserviceError, match="not open"):
        await client.get("/too-soon")
    async with running(service) as it:
        await client.get("/serving")
        report = await it.stop()
    assert report["exit_code"] == 0
    with pytest.raises(LmserviceError, match="not open"):
        await client.get("/too-late")
    assert server.paths == ["/warm", "/serving", "/clean-up"]


async def test_it_is_open_during_the_apps_lifespan(server: Flaky) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        for event in ("startup", "shutdown"):
            await receive()
            await client.get(f"/{event}")
            await send({"type": f"lifespan.{event}.complete"})

    service = Service("lifespan", app=app)
    client = service.client(server.url)
    async with running(service):
        pass
    assert server.paths == ["/startup", "/shutdown"]


async def test_a_service_with_clients_runs_twice_in_one_process(server: Flaky) -> None:
    caller = Caller(server.url)
    for _ in range(2):
        async with running(caller.service) as it, Client(it.url) as outside:
            assert (await outside.get("/")).text == "well"
    assert len(server.asked) == 2


async def test_a_start_that_fails_closes_it(server: Flaky) -> None:
    service = Service("broken", routes=[])
    client = service.client(server.url)

    @service.startup_job
    async def broken() -> None:
        await client.get("/")
        raise RuntimeError("broken")

    with pytest.raises(LmserviceError, match="broken"):
        async with running(service):
            pass
    with pytest.raises(LmserviceError, match="not open"):
        await client.get("/")


async def test_requests_at_once_do_not_mix_their_ids(serve: Any, server: Flaky) -> None:
    served = await serve(Caller(server.url).service)

    async def ask(number: int) -> None:
        await served.client.get("/", headers={"X-Request-ID": f"request-{number}"})

    await asyncio.gather(*(ask(number) for number in range(30)))
    assert {each.headers["x-request-id"] for each in server.asked} == {f"request-{number}" for number in range(30)}


async def test_no_line_tells_the_url_of_a_call_and_a_retry_has_one(serve: Any, server: Flaky, logged: Any) -> None:
    server.then(503)
    caller = Caller(f"{server.url}/?token=secret")
    served = await serve(caller.service)
    await served.client.get("/", headers={"X-Request-ID": "request-7"})
    (line,) = logged("lmservice.client_retry")
    assert line["request_id"] == "request-7"
    assert line | {"client": "upstream", "host": server.host, "method": "GET", "reason": "503", "attempt": 1} == line
    assert "secret" not in str(logged())


async def test_two_clients_of_one_service_share_its_families(serve: Any, server: Flaky) -> None:
    async def both(_: Request) -> Response:
        return JSONResponse([(await client.get("/")).status_code for client in clients])

    service = Service("two", routes=[Route("/", both)])
    clients = [service.client(server.url, name=name) for name in ("one", "other")]
    served = await serve(service)
    assert (await served.client.get("/")).json() == [200, 200]
    names = [name for name in await served.metrics() if name.startswith("lmservice_client_retries_total{")]
    assert len(names) == 2


async def test_a_call_says_how_long_its_answer_is_waited_for(serve: Any, server: Flaky) -> None:
    server.then(503)
    served = await serve(Caller(server.url, timeout=3, deadline=4, backoff_initial=0.01).service)
    await served.client.get("/", headers={"X-Envoy-Expected-Rq-Timeout-Ms": "2000"})
    first, second = (int(asked.headers["x-envoy-expected-rq-timeout-ms"]) for asked in server.asked)
    assert 1000 < second <= first <= 2000
    await served.client.get("/")
    assert 2900 < int(server.asked[2].headers["x-envoy-expected-rq-timeout-ms"]) <= 3000


async def test_a_wait_that_the_caller_gives_himself_is_left_as_it_is(serve: Any, server: Flaky) -> None:
    caller = Caller(server.url)
    caller.headers = {"X-Envoy-Expected-Rq-Timeout-Ms": "70"}
    served = await serve(caller.service)
    await served.client.get("/")
    assert server.asked[0].headers["x-envoy-expected-rq-timeout-ms"] == "70"
