"""What a client reads where the app fails, answers wrongly, or is ended in the moment when it would have answered."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import websockets
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strict_client import request_bytes

from lmservice import Service

pytestmark = pytest.mark.anyio
EACH_PARSER = pytest.mark.parametrize("http", ["httptools", "h11"])


class UnfitError(Exception):
    """What the handlers below raise."""


async def slow(request: Request) -> Response:
    await asyncio.sleep(float(request.path_params["seconds"]))
    return PlainTextResponse("slow")


async def block(_: Request) -> Response:
    time.sleep(1.2)  # noqa: ASYNC251 - what it is for
    return PlainTextResponse("blocked")


async def leave(request: Request) -> Response:
    raise {"exit": SystemExit, "interrupt": KeyboardInterrupt, "generator": GeneratorExit}[request.path_params["how"]]


async def judge(request: Request) -> Response:
    await request.json()
    raise UnfitError


async def answer_with_the_body(request: Request, _: Exception) -> Response:
    return JSONResponse({"sent": (await request.body()).decode()}, 422)


async def sorry(_: Request, error: Exception) -> Response:
    return PlainTextResponse(f"sorry: {type(error).__name__}", 500)


async def forge(_: Request) -> Response:
    return PlainTextResponse("forged", headers={"x-bad": "a\r\nb: c"})


async def views(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"16")]})
    changing = bytearray(b"abcd")
    for part in (memoryview(b"1234"), changing):
        await send({"type": "http.response.body", "body": part, "more_body": True})
    changing[:] = b"wxyz"
    await send({"type": "http.response.body", "body": memoryview(b"5678"), "more_body": True})
    await send({"type": "http.response.body", "body": b"9012"})


async def too_short(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
    await send({"type": "http.response.body", "body": b"abcd"})


async def echo_stream(request: Request) -> Response:
    return StreamingResponse(request.stream())


async def fail_later(_: Request) -> Response:
    def fail() -> None:
        raise UnfitError

    return PlainTextResponse("answered", background=BackgroundTask(fail))


async def say_nothing(websocket: WebSocket) -> None:
    await websocket.receive()


async def listen(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:
        await websocket.receive_text()


def service(**handlers: Any) -> Service:
    return Service(
        "answers",
        routes=[
            Route("/slow/{seconds}", slow),
            Route("/block", block),
            Route("/leave/{how}", leave),
            Route("/judge", judge, methods=["POST"]),
            Route("/forge", forge),
            Route("/echo", echo_stream, methods=["POST"]),
            Route("/fail-later", fail_later),
            Mount("/views", views),
            Mount("/too-short", too_short),
            WebSocketRoute("/say-nothing", say_nothing),
            WebSocketRoute("/listen", listen),
        ],
        **handlers,
    )


async def at_once(client: Any, paths: list[str]) -> list[Any]:
    return list(await asyncio.gather(*(client.get(path) for path in paths)))


@EACH_PARSER
async def test_what_is_overdue_after_a_stall_is_answered_with_a_problem(serve: Any, http: str) -> None:
    served = await serve(service(), http=http, request_timeout=0.4)
    waiting = asyncio.create_task(at_once(served.client, [f"/slow/{0.5 + 0.05 * number}" for number in range(12)]))
    await asyncio.sleep(0.2)
    await served.client.get("/block")
    for response in await waiting:
        assert response.headers["x-request-id"]
        assert response.status_code in {200, 504}
        if response.status_code == 504:
            assert response.headers["content-type"] == "application/problem+json"


@EACH_PARSER
async def test_what_is_cut_off_while_it_would_answer_gets_a_problem(serve: Any, http: str) -> None:
    served = await serve(service(), http=http, drain_timeout=0.5)
    waiting = asyncio.create_task(at_once(served.client, [f"/slow/{0.8 + 0.05 * number}" for number in range(12)]))
    await asyncio.sleep(0.2)
    stopping = asyncio.create_task(served.running.stop())
    await asyncio.sleep(0.1)
    time.sleep(1.0)  # noqa: ASYNC251 - the loop stands still past the drain's end
    for response in await waiting:
        assert response.headers["x-request-id"]
        assert response.status_code in {200, 503}
        if response.status_code == 503:
            assert response.headers["content-type"] == "application/problem+json"
    await stopping


@pytest.mark.parametrize("how", ["exit", "interrupt", "generator"])
async def test_a_handler_that_would_end_the_process_is_answered_for(serve: Any, logged: Any, how: str) -> None:
    served = await serve(service())
    response = await served.client.get(f"/leave/{how}")
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert logged("http.request")[-1]["status"] == 500


async def test_an_exceptions_handler_sees_the_body_that_was_read(serve: Any) -> None:
    served = await serve(service(exception_handlers={UnfitError: answer_with_the_body}))
    response = await served.client.post("/judge", content=b"[1]")
    assert (response.status_code, response.json()) == (422, {"sent": "[1]"})


@pytest.mark.parametrize("key", [500, Exception])
async def test_the_handler_of_whatever_no_other_handles_answers_and_the_log_has_it(
    serve: Any, logged: Any, key: Any
) -> None:
    served = await serve(service(exception_handlers={key: sorry}))
    response = await served.client.post("/judge", content=b"[1]")
    assert (response.status_code, response.text) == (500, "sorry: UnfitError")
    assert "UnfitError" in logged("http.error")[-1]["exception"]


@EACH_PARSER
async def test_a_body_may_come_in_any_kind_of_bytes(serve: Any, http: str) -> None:
    served = await serve(service(), http=http)
    assert (await served.client.get("/views/")).content == b"1234abcd56789012"


@EACH_PARSER
async def test_an_answer_that_is_cut_short_ends_its_connection_at_once(serve: Any, connect: Any, http: str) -> None:
    served = await serve(service(), http=http)
    connection = await connect(served.port)
    began = time.monotonic()
    with pytest.raises(Exception, match=r"closed|truncated"):
        await connection.request(request_bytes("/too-short/"), timeout=10)
    assert time.monotonic() - began < 5


@EACH_PARSER
async def test_an_answer_of_which_nothing_could_leave_is_logged_as_failed(
    serve: Any, connect: Any, logged: Any, http: str
) -> None:
    served = await serve(service(), http=http)
    connection = await connect(served.port)
    with pytest.raises(Exception, match=r"closed|reset"):
        await connection.request(request_bytes("/forge"), timeout=10)
    assert logged("http.request")[-1]["status"] == 500


async def test_a_body_that_grows_too_large_in_mid_answer_is_refused_once(serve: Any, logged: Any) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100
            await asyncio.sleep(0.01)

    served = await serve(service(), max_body_size=500)
    with pytest.raises(Exception):  # noqa: B017, PT011 - what httpx makes of an answer cut short
        await served.client.post("/echo", content=parts())
    assert (await served.metrics())['lmservice_requests_rejected_total{reason="body_size"}'] == 1
    assert logged("http.error") == []


async def test_a_failure_after_the_answer_is_logged_and_costs_the_client_nothing(
    serve: Any, connect: Any, logged: Any
) -> None:
    served = await serve(service())
    connection = await connect(served.port)
    for _ in range(3):  # over one connection
        assert (await connection.request(request_bytes("/fail-later"))).body == b"answered"
        await asyncio.sleep(0.1)
    assert len(logged("http.error")) == 3


async def test_a_websocket_that_nobody_answers_is_a_500_with_an_id(serve: Any, logged: Any) -> None:
    served = await serve(service())
    with pytest.raises(websockets.InvalidStatus) as caught:
        await websockets.connect(f"ws://127.0.0.1:{served.port}/say-nothing", proxy=None)
    response = caught.value.response
    assert response.status_code == 500
    assert json.loads(response.body)["request_id"] == response.headers["x-request-id"]
    assert logged("http.request")[-1]["status"] == 500


async def test_a_websocket_whose_client_leaves_is_no_failure(serve: Any, logged: Any) -> None:
    served = await serve(service())
    async with websockets.connect(f"ws://127.0.0.1:{served.port}/listen", proxy=None) as websocket:
        await websocket.send("hello")
    await served.close()
    await served.running.stop()
    assert logged("http.error") == []
    assert logged("http.request")[-1]["status"] == 101


async def test_requests_of_one_trace_have_ids_of_their_own(serve: Any) -> None:
    served = await serve(service())
    trace = {"traceparent": f"00-{'a' * 32}-{'1' * 16}-01"}
    ids = {(await served.client.get("/nonesuch", headers=trace)).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
