"""`GET /events`: what those who watch a service are sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from management.conftest import program, refused
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from strict_client import AsyncConnection, Response

from lmservice import Service
from lmservice.console.stream import MOST, Events
from lmservice.lifecycle import Lifecycle
from lmservice.testing import running
from lmservice.web import in_flight

pytestmark = pytest.mark.anyio
Next = Callable[[], Awaitable[tuple[str, dict[str, Any]]]]


@asynccontextmanager
async def watching(management: httpx.AsyncClient) -> AsyncIterator[Next]:
    """Reads the events one by one: the name and the data of each."""
    async with management.stream("GET", "/events") as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.aiter_lines()

        async def following() -> tuple[str, dict[str, Any]]:
            name = ""
            async with asyncio.timeout(20):
                async for line in lines:
                    if line.startswith("event: "):
                        name = line.removeprefix("event: ")
                    if line.startswith("data: "):
                        return name, json.loads(line.removeprefix("data: "))
            raise EOFError

        yield following


async def until(following: Next, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """The first picture that is as wanted."""
    while True:
        name, data = await following()
        if name == "picture" and wanted(data):
            return data


async def slow(request: Request) -> JSONResponse:
    await asyncio.sleep(float(request.path_params["seconds"]))
    return JSONResponse({}, int(request.query_params.get("status", "200")))


def busy(gate: asyncio.Event | None = None) -> Service:
    """A service that is as slow as it is asked to be; `/held` answers once the gate opens."""

    async def held(_request: Request) -> JSONResponse:
        if gate is not None:
            await gate.wait()
        return JSONResponse({})

    return Service("busy", routes=[Route("/slow/{seconds}", slow), Route("/held", held)])


def layer(served: Any) -> Any:
    return served.running._instance._layer


async def test_an_observer_is_told_who_it_is_and_then_what_is_going_on(shared: Any) -> None:
    async with watching(shared.management) as following:
        name, hello = await following()
        assert name == "hello"
        assert (hello["info"]["name"], hello["info"]["version"], hello["allowed"]) == ("flights", "1.2.3", True)
        name, picture = await following()
        assert (name, picture["state"], picture["ready"], picture["drain"]) == ("picture", "ready", True, None)
        assert (
            [job["name"] for job in picture["startup"]["jobs"]] == picture["startup"]["critical_path"] == ["timetable"]
        )
        assert [check["name"] for check in picture["checks"]] == ["database"]
        assert [job["name"] for job in picture["periodic_jobs"]] == ["refresh"]
        name, later = await following()
        assert name == "picture"
        assert later["at"] > picture["at"]


async def test_the_history_of_a_check_is_shown(serve: Any) -> None:
    service = Service("checked", routes=[])
    answers = iter([None, False])

    @service.health_check(interval=0.05, failures=2)
    async def database() -> Any:
        return next(answers, False)

    served = await serve(service)
    async with watching(served.management) as following:
        check = (await until(following, lambda picture: len(picture["checks"][0]["polls"]) >= 3))["checks"][0]
    assert [error for _, _, error in check["polls"]][:3] == ["", "returned False", "returned False"]
    assert check["status"] == "down"


async def test_requests_show_as_rates_quantiles_errors_and_the_slowest_with_their_ids(serve: Any) -> None:
    served = await serve(busy())
    async with watching(served.management) as following:
        await following()
        ids = {"x-request-id": "the-slow-one"}
        await asyncio.gather(
            *(served.client.get("/slow/0") for _ in range(8)),
            served.client.get("/slow/0.3", headers=ids),
            served.client.get("/slow/0", params={"status": "503"}),
        )
        picture = await until(following, lambda picture: picture["traffic"]["all"]["served"] == 10)
    everything, (route,) = picture["traffic"]["all"], picture["traffic"]["routes"]
    assert (route["method"], route["route"], route["served"], route["failed"]) == ("GET", "/slow/{seconds}", 10, 1)
    assert everything["errors"] == 0.1
    assert everything["rate"] > 0
    assert 0.25 < everything["p99"] <= 0.5
    slowest = picture["slowest"][0]
    assert (slowest["request_id"], slowest["path"], slowest["status"]) == ("the-slow-one", "/slow/0.3", 200)
    assert len(picture["slowest"]) == 10


async def test_what_a_drain_waits_for_is_shown_and_the_end_is_told_with_the_report() -> None:
    gate = asyncio.Event()
    async with AsyncExitStack() as life, httpx.AsyncClient(timeout=60) as client:
        service = await life.enter_async_context(running(busy(gate), log_format="json", drain_timeout=30))
        async with httpx.AsyncClient(base_url=service.management_url) as management, watching(management) as following:
            headers = {"x-request-id": "held", "connection": "close"}
            asking = asyncio.create_task(client.get(f"{service.url}/held", headers=headers))
            await until(following, lambda picture: picture["traffic"]["waiting"])
            closing = asyncio.create_task(life.aclose())
            picture = await until(following, lambda picture: picture["drain"] and picture["drain"]["phase"] == "drain")
            (waiting,) = picture["traffic"]["waiting"]
            assert (waiting["request_id"], waiting["path"]) == ("held", "/held")
            assert picture["drain"]["reason"] == "test"
            assert [each["at"] for each in picture["drain"]["connections"]["each"]] == ["answer"]
            gate.set()
            assert (await asking).status_code == 200
            told = [await following()]
            while told[-1][0] != "end":
                told.append(await following())
            await closing
    assert told[-1][1] == {"state": "stopped", "report": await service.stop()}
    assert told[-2][1]["state"] == "stopped"


async def test_nothing_is_collected_while_nobody_watches(serve: Any) -> None:
    served = await serve(busy())
    assert layer(served).slowest is None
    async with watching(served.management) as following:
        await following()
        assert layer(served).slowest is not None
    async with asyncio.timeout(20):
        while layer(served).slowest is not None:  # noqa: ASYNC110 - it has none
            await asyncio.sleep(0.01)
    tasks = (await served.management.get("/tasks")).json()["tasks"]
    assert not [task["name"] for task in tasks if task["name"] in ("events", "observer")]


async def test_who_comes_later_is_told_what_was_seen_before(serve: Any) -> None:
    served = await serve(busy())
    async with watching(served.management) as first:
        await until(first, lambda _: True)
        await until(first, lambda _: True)
        async with watching(served.management) as second:
            _, hello = await second()
    assert len(hello["history"]) >= 2
    assert {"at", "traffic", "event_loop"} == set(hello["history"][0])


async def test_past_the_limit_an_observer_is_refused_and_has_a_place_once_another_left(shared: Any) -> None:
    port = shared.management.base_url.port
    streams = [await open_stream(port) for _ in range(MOST)]
    refused = await shared.management.get("/events")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert str(MOST) in refused.json()["detail"]
    streams.pop().close()
    async with asyncio.timeout(20):
        while (await head_status(port)) != 200:  # noqa: ASYNC110 - another thread's
            await asyncio.sleep(0.05)
    for each in streams:
        each.close()


async def test_an_operator_gets_in_where_those_who_may_not_look_inside_have_taken_every_place() -> None:
    events = Events(Lifecycle(), _Blank(), dict)
    strangers = [await events.answer(allowed=False) for _ in range(MOST)]
    assert await events.answer(allowed=False) is None
    operators = [await events.answer(allowed=True) for _ in range(MOST)]
    assert None not in operators
    assert await events.answer(allowed=True) is None
    for stream in strangers:
        assert stream is not None
        async with asyncio.timeout(5):
            assert b"".join([event async for event in stream._observer.events()]).endswith(b"\n\n")
    events.close(None)


class _Blank:
    """A picture of nothing."""

    async def begin(self) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""

    def picture(self) -> dict[str, Any]:
        """Nothing."""
        return {"at": 0, "state": "starting", "traffic": {"all": {}, "routes": []}, "event_loop": {}}


async def open_stream(port: int) -> AsyncConnection:
    """A connection whose stream has begun, which nobody reads any further."""
    connection = await AsyncConnection.open(port)
    connection._transport.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(20):
        while b"event: hello" not in connection._buffer:
            connection._more.clear()
            await connection._more.wait()
    return connection


async def head_status(port: int) -> int:
    """What one more observer is answered with."""
    connection = await AsyncConnection.open(port)
    connection._transport.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(20):
        while b"\r\n" not in connection._buffer:
            connection._more.clear()
            await connection._more.wait()
    connection.close()
    return int(connection._buffer.split()[1])


async def test_probes_answer_while_as_many_watch_as_may_and_none_of_them_reads(shared: Any) -> None:
    port = shared.management.base_url.port
    streams = [await open_stream(port) for _ in range(MOST)]
    for each in streams:
        each._transport.pause_reading()
    for _ in range(20):
        assert (await shared.management.get("/livez", timeout=5)).status_code == 200
        await asyncio.sleep(0.02)
    for each in streams:
        each.close()


async def test_head_gives_no_stream(shared: Any) -> None:
    answer = await shared.management.head("/events", timeout=5)
    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_peer_that_may_not_look_inside_sees_no_path_no_request_id_and_no_address(serve: Any) -> None:
    gate = asyncio.Event()
    served = await serve(busy(gate), management_allow=("10.9.9.9/32",))
    async with watching(served.management) as following:
        _, hello = await following()
        assert hello["allowed"] is False
        asking = asyncio.create_task(served.client.get("/held"))
        await served.client.get("/slow/0.01")
        picture = await until(following, lambda picture: picture["slowest"] and picture["traffic"]["waiting"])
        gate.set()
        await asking
    assert set(picture["slowest"][0]) == {"at", "seconds", "method", "route", "status"}
    assert set(picture["traffic"]["waiting"][0]) == {"seconds", "method", "route", "answering"}


@pytest.mark.parametrize(("allow", "told"), [("127.0.0.0/8", True), ("10.9.9.9/32", False)])
async def test_why_a_start_fails_is_told_to_those_alone_who_may_look_inside(
    start_process: Any, tmp_path: Path, allow: str, *, told: bool
) -> None:
    settings = {"LM_MANAGEMENT_ALLOW": json.dumps([allow]), "LM_MANAGEMENT_HOST": "127.0.0.1"}
    process = start_process(refused(2), settings=settings)
    async with (
        httpx.AsyncClient(base_url=process.management_url, timeout=20) as management,
        watching(management) as following,
    ):
        trying = await until(following, lambda picture: picture["startup"]["jobs"][0]["attempts"] == 2)
        (tmp_path / "gate").touch()
        events = [await following()]
        while events[-1][0] != "end":
            events.append(await following())
    (job,) = trying["startup"]["jobs"]
    assert (job["status"], job["attempts_allowed"]) == ("running", 2)
    (_, last), (_, end) = events[-2:]
    assert (last["startup"]["jobs"][0]["status"], end["report"]["exit_code"]) == ("failed", 3)
    failed = "start-up job 'database' failed after 2 attempts: ConnectionRefusedError: db.intra refused"
    assert job.get("failure") == ("ConnectionRefusedError: db.intra refused" if told else None)
    assert last.get("failure") == (failed if told else None)
    assert end["report"].get("problems") == ([failed] if told else None)
    assert ("db.intra" in json.dumps([trying, events])) is told


async def test_the_message_of_a_checks_and_a_jobs_error_is_for_those_alone_who_may_look_inside(serve: Any) -> None:
    service = Service("checked", routes=[])

    @service.health_check(interval=0.05)
    async def database() -> None:
        raise ConnectionRefusedError("db.intra\nrefused")

    @service.periodic_job(every=0.05)
    async def refresh() -> None:
        raise ValueError

    async def seen(**settings: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        served = await serve(service, **settings)
        async with watching(served.management) as following:
            picture = await until(
                following, lambda found: found["checks"][0]["polls"] and found["periodic_jobs"][0]["runs"]
            )
        return picture["checks"][0], picture["periodic_jobs"][0]

    check, job = await seen()
    assert (check["failure"], job["failure"]) == ("ConnectionRefusedError: db.intra refused", "ValueError")
    check, job = await seen(management_allow=("10.9.9.9/32",))
    assert (check["error"], job["last_error"]) == ("ConnectionRefusedError", "ValueError")
    assert "failure" not in check | job


@pytest.mark.parametrize("headers", ["Host: evil.example", "Host: localhost\r\nSec-Fetch-Site: cross-site"])
async def test_another_sites_page_gets_no_events(shared: Any, headers: str) -> None:
    connection = await AsyncConnection.open(shared.management.base_url.port)
    try:
        answer: Response = await connection.request(f"GET /events HTTP/1.1\r\n{headers}\r\n\r\n".encode())
    finally:
        connection.close()
    assert answer.status == 403


async def test_a_picture_that_fails_is_logged_and_does_not_end_the_stream(
    serve: Any, monkeypatch: pytest.MonkeyPatch, logged: Any
) -> None:
    served = await serve(program())
    async with watching(served.management) as following:
        await following()
        await following()
        real = in_flight.report
        failures = iter([True])
        monkeypatch.setattr(in_flight, "report", lambda *of: fail() if next(failures, False) else real(*of))
        await following()
    assert [each["level"] for each in logged("GET /events could not draw")] == ["error"]


def fail() -> Any:
    raise OSError("no picture")


async def test_an_outbound_host_is_shown_with_its_breaker(serve: Any) -> None:
    service = Service("caller", routes=[])
    client = service.client("http://supplier.example", transport=httpx.MockTransport(lambda _: httpx.Response(500)))
    served = await serve(service)
    async with watching(served.management) as following:
        for _ in range(10):
            await client.post("/")
        (host,) = (await until(following, lambda picture: picture["clients"]))["clients"]
    assert (host["host"], host["breaker"], host["calls"], host["failed"]) == ("supplier.example", "open", 10, 10)


class Drawing:
    """Draws what takes a while to begin."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.gate = asyncio.Event()

    async def begin(self) -> None:
        self.said.append("begin")
        await self.gate.wait()

    def end(self) -> None:
        self.said.append("end")

    def picture(self) -> dict[str, Any]:
        return {"at": 1.0, "state": "starting", "traffic": {"all": {}, "routes": []}, "event_loop": {}}


async def test_observers_that_come_while_it_begins_share_one_beginning() -> None:
    drawing = Drawing()
    events = Events(Lifecycle(), drawing, dict)
    coming = [asyncio.create_task(events.answer(allowed=True)) for _ in range(MOST + 1)]
    await asyncio.sleep(0)
    drawing.gate.set()
    streams = await asyncio.gather(*coming)
    assert [stream is None for stream in streams] == [False] * MOST + [True]
    assert drawing.said == ["begin"]
    for stream in streams[:MOST]:
        stream._leave(stream._observer)  # type: ignore[union-attr]
    assert drawing.said == ["begin", "end"]


async def test_who_comes_as_the_process_ends_is_turned_away_and_nothing_is_drawn_on() -> None:
    drawing = Drawing()
    events = Events(Lifecycle(), drawing, dict)
    coming = asyncio.create_task(events.answer(allowed=True))
    await asyncio.sleep(0)
    events.close(None)
    drawing.gate.set()
    assert await coming is None
    assert drawing.said == ["begin", "end"]
