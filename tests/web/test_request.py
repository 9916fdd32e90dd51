"""What every request gets: ids, a trace, and an error that tells a client what it may know."""

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import structlog
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from lmservice import Service

pytestmark = pytest.mark.anyio
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
VALID_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


async def hello(_: Request) -> Response:
    return PlainTextResponse("hello")


async def speak(_: Request) -> Response:
    logging.getLogger("stdlib").info("spoken")
    structlog.get_logger("structlog").info("spoken")
    await asyncio.to_thread(logging.getLogger("thread").info, "spoken")
    background = BackgroundTask(logging.getLogger("background").info, "spoken")
    return PlainTextResponse("spoken", background=background)


def speak_in_a_thread(_: Request) -> Response:
    logging.getLogger("sync").info("spoken")
    return PlainTextResponse("spoken")


async def fail(_: Request) -> Response:
    raise RuntimeError("the secret is hunter2")


def fail_in_a_thread(_: Request) -> Response:
    raise RuntimeError("the secret is hunter2")


async def break_off(_: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"begun"
        raise RuntimeError("the secret is hunter2")

    return StreamingResponse(parts())


async def teapot(_: Request) -> Response:
    raise HTTPException(418, "short and stout", {"x-kind": "earthenware"})


async def name_itself(_: Request) -> Response:
    return PlainTextResponse("hello", headers={"X-Request-ID": "the-apps-own"})


async def status(request: Request) -> Response:
    return Response(status_code=int(request.path_params["status"]))


async def stream(_: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    return StreamingResponse(parts())


async def read(request: Request) -> Response:
    return JSONResponse(len(await request.body()))


async def hang(_: Request) -> Response:
    await asyncio.sleep(60)
    return PlainTextResponse("late")


async def wait(request: Request) -> Response:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return PlainTextResponse("to nobody")


def service() -> Service:
    return Service(
        "request",
        routes=[
            Route("/hello", hello),
            Route("/speak", speak),
            Route("/sync", speak_in_a_thread),
            Route("/fail", fail),
            Route("/fail-in-a-thread", fail_in_a_thread),
            Route("/break-off", break_off),
            Route("/teapot", teapot),
            Route("/name-itself", name_itself),
            Route("/status/{status}", status),
            Route("/stream", stream),
            Route("/read", read, methods=["POST"]),
            Route("/hang", hang),
            Route("/wait", wait),
            Mount("/inside", routes=[Route("/hello", hello)]),
        ],
    )


@pytest.fixture(scope="module")
async def served(serve_module: Any) -> Any:
    return await serve_module(
        service(), max_body_size=100, request_timeout=0.3, environment="qa", drain_delay=0, drain_quiet=0
    )


def only_id(response: httpx.Response) -> str:
    """The one request id of a response."""
    (found,) = response.headers.get_list("x-request-id")
    assert VALID_ID.fullmatch(found)
    return str(found)


@pytest.mark.parametrize("given", ["a", "x" * 128, "AZaz09._:/+=@-", "9c1d4d5e-7b8a-4f7e-9d3b-2f1c0a9b8e7d"])
async def test_a_good_request_id_is_taken(served: Any, logged: Any, given: str) -> None:
    response = await served.client.get("/hello", headers={"X-Request-ID": given})
    assert only_id(response) == given
    assert logged("http.request")[-1]["request_id"] == given


@pytest.mark.parametrize(
    "given", [b"", b"x" * 129, b"a b", b"a;b", b"a\tb", b'"}', b"<script>", "é".encode(), b"\xff", b"a,b", b"%0a"]
)
async def test_a_bad_request_id_is_replaced(served: Any, logged: Any, given: bytes) -> None:
    response = await served.client.get("/hello", headers=[(b"X-Request-ID", given)])
    assert only_id(response).encode() != given
    assert logged("http.request")[-1]["request_id"] == only_id(response)


async def test_a_missing_request_id_is_made_each_time_another(served: Any) -> None:
    found = {only_id(await served.client.get("/hello")) for _ in range(5)}
    assert len(found) == 5


async def test_two_request_ids_become_one(served: Any) -> None:
    only_id(await served.client.get("/hello", headers=[("X-Request-ID", "one"), ("X-Request-ID", "two")]))


async def test_an_id_that_the_app_sets_itself_does_not_make_two(served: Any) -> None:
    assert only_id(await served.client.get("/name-itself", headers={"X-Request-ID": "mine"})) == "mine"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/hello", 200),
        ("HEAD", "/hello", 200),
        ("GET", "/stream", 200),
        ("GET", "/status/204", 204),
        ("GET", "/status/304", 304),
        ("GET", "/hello/", 307),
        ("GET", "/nonesuch", 404),
        ("GET", "/inside/nonesuch", 404),
        ("DELETE", "/hello", 405),
        ("PROPFIND", "/hello", 405),
        ("GET", "/teapot", 418),
        ("POST", "/read", 413),
        ("GET", "/fail", 500),
        ("GET", "/fail-in-a-thread", 500),
        ("GET", "/hang", 504),
    ],
)
async def test_every_answer_echoes_the_id(served: Any, logged: Any, method: str, path: str, status: int) -> None:
    content = b"x" * 101 if method == "POST" else None
    response = await served.client.request(method, path, headers={"X-Request-ID": "mine"}, content=content)
    assert response.status_code == status
    assert only_id(response) == "mine"
    (line,) = logged("http.request")
    assert (line["request_id"], line["status"], line["method"], line["path"]) == ("mine", status, method, path)


@pytest.mark.parametrize(
    ("method", "path", "status", "title"),
    [
        ("GET", "/nonesuch", 404, "Not Found"),
        ("GET", "/inside/nonesuch", 404, "Not Found"),
        ("DELETE", "/hello", 405, "Method Not Allowed"),
        ("GET", "/teapot", 418, "I'm a Teapot"),
        ("POST", "/read", 413, "Content Too Large"),
        ("GET", "/fail", 500, "Internal Server Error"),
        ("GET", "/fail-in-a-thread", 500, "Internal Server Error"),
        ("GET", "/hang", 504, "Gateway Timeout"),
    ],
)
async def test_every_error_is_a_problem_with_the_request_id(
    served: Any, method: str, path: str, status: int, title: str
) -> None:
    content = b"x" * 101 if method == "POST" else None
    response = await served.client.request(method, path, headers={"X-Request-ID": "mine"}, content=content)
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem.pop("detail")
    assert problem == {"type": "about:blank", "title": title, "status": status, "request_id": "mine"}
    assert response.headers["content-length"] == str(len(response.content))


async def test_an_error_keeps_the_headers_that_belong_to_it(served: Any) -> None:
    assert (await served.client.get("/teapot")).headers["x-kind"] == "earthenware"
    assert "GET" in (await served.client.delete("/hello")).headers["allow"]


@pytest.mark.parametrize("path", ["/fail", "/fail-in-a-thread"])
async def test_a_handlers_exception_is_logged_once_with_its_stack_and_told_to_nobody(
    served: Any, logged: Any, path: str
) -> None:
    response = await served.client.get(path, headers={"X-Request-ID": "mine"})
    for forbidden in ("hunter2", "Traceback", "RuntimeError", ".py"):
        assert forbidden not in response.text
        assert forbidden not in str(response.headers)
    (line,) = [line for line in logged() if line["level"] in {"error", "critical"}]
    assert line["request_id"] == "mine"
    assert "Traceback" in str(line)
    assert "RuntimeError: the secret is hunter2" in str(line)


async def test_an_exception_in_mid_response_ends_the_connection_and_is_logged_once(served: Any, logged: Any) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await served.client.get("/break-off")
    await served.client.get("/hello")
    assert len([line for line in logged() if line["level"] in {"error", "critical"}]) == 1
    assert len([line for line in logged("http.request") if line["path"] == "/break-off"]) == 1


async def test_a_404_does_not_wait_for_the_threads_of_busy_handlers(serve: Any) -> None:
    let_go = threading.Event()

    def block(_: Request) -> Response:
        let_go.wait(20)
        return PlainTextResponse("done")

    served = await serve(Service("busy", routes=[Route("/block", block)]))
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=served.running.url, limits=limits, timeout=20, verify=False) as many:
        blocked = [asyncio.create_task(many.get("/block")) for _ in range(45)]
        try:
            await asyncio.sleep(0.3)
            response = await served.client.get("/nonesuch", timeout=2)
        finally:
            let_go.set()
            await asyncio.gather(*blocked)
    assert response.status_code == 404


@pytest.mark.parametrize("path", ["/speak", "/sync"])
async def test_whatever_is_logged_inside_a_request_has_its_ids(serve: Any, logged: Any, path: str) -> None:
    served = await serve(service())
    await served.client.get(path, headers={"X-Request-ID": "mine", "traceparent": f"00-{TRACE}-{PARENT}-01"})
    await served.close()
    await served.running.stop()
    lines = logged("spoken")
    assert {line["logger"] for line in lines} >= ({"sync"} if path == "/sync" else {"stdlib", "thread", "background"})
    (access,) = logged("http.request")
    for line in lines:
        assert (line["request_id"], line["trace_id"]) == ("mine", TRACE)
        assert line["span_id"] == access["span_id"]


async def test_what_is_logged_outside_of_a_request_has_no_ids(serve: Any, logged: Any) -> None:
    served = await serve(service())
    await served.client.get("/hello", headers={"X-Request-ID": "mine"})
    await served.close()
    await served.running.stop()
    (line,) = logged("lmservice.stopped")
    assert not {"request_id", "trace_id", "span_id"} & set(line)


@pytest.mark.parametrize(
    "given",
    [
        f"00-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-00",
        f"00-{TRACE}-{PARENT}-ff",
        f"01-{TRACE}-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like",
    ],
)
async def test_a_trace_is_continued_with_a_span_of_ones_own(served: Any, logged: Any, given: str) -> None:
    await served.client.get("/hello", headers={"traceparent": given})
    line = logged("http.request")[-1]
    assert line["trace_id"] == TRACE
    assert re.fullmatch(r"(?!0{16})[0-9a-f]{16}", line["span_id"])
    assert line["span_id"] != PARENT


@pytest.mark.parametrize(
    "given",
    [
        "",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE[1:]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-1",
        f"0-{TRACE}-{PARENT}-01",
        f"00_{TRACE}_{PARENT}_01",
        f"00-{TRACE}-{PARENT}-01.",
        f"cc-{TRACE}-{PARENT}-01.what-the-future-will-not-be-like",
        f"00-{TRACE}-{PARENT}-01-version-00-has-nothing-more",
    ],
)
async def test_a_trace_that_is_not_valid_is_begun_anew(served: Any, logged: Any, given: str) -> None:
    """W3C Trace Context, 3.2.2 and its test suite's own cases."""
    response = await served.client.get("/hello", headers={"traceparent": given})
    line = logged("http.request")[-1]
    assert re.fullmatch(r"(?!0{32})[0-9a-f]{32}", line["trace_id"])
    assert line["trace_id"] != TRACE
    assert response.status_code == 200


async def test_two_traceparents_are_none(served: Any, logged: Any) -> None:
    """W3C Trace Context: more than one is invalid."""
    header = f"00-{TRACE}-{PARENT}-01"
    await served.client.get("/hello", headers=[("traceparent", header), ("traceparent", header.replace("f", "e"))])
    assert logged("http.request")[-1]["trace_id"] not in {TRACE, TRACE.replace("f", "e")}


async def test_a_client_that_goes_away_is_no_error_and_leaves_nothing_in_flight(serve: Any, logged: Any) -> None:
    served = await serve(service())
    with pytest.raises(httpx.ReadTimeout):
        await served.client.get("/wait", timeout=0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nhalf")
    await writer.drain()
    await asyncio.sleep(0.2)
    writer.close()
    await writer.wait_closed()
    assert await reader.read() == b""
    await asyncio.sleep(0.3)
    lines = logged()
    assert not [line for line in lines if line["level"] not in {"info", "debug"}]
    assert {line["path"] for line in lines if line["event"] == "http.request"} == {"/wait", "/read"}
    assert (await served.metrics())['http_server_active_requests{http_request_method="GET"}'] == 0
