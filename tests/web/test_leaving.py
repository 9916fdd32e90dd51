"""Clients that leave before their answer count as 499, whatever the framework makes of it, and are no error."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

import litestar
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from lmservice import Service

pytestmark = pytest.mark.anyio


class Item(BaseModel):
    """A body."""

    name: str


async def read(request: Request) -> Response:
    return PlainTextResponse(await request.body())


async def read_in_a_group(request: Request) -> Response:
    async with asyncio.TaskGroup() as group:
        body = group.create_task(request.body())
    return PlainTextResponse(body.result())


async def answer_500(_: Request, __: Exception) -> Response:
    return PlainTextResponse("so sorry", 500)


async def take(item: Item) -> Item:
    return item


@litestar.post("/")
async def take_for_litestar(request: litestar.Request[Any, Any, Any]) -> bytes:
    return await request.body()


class Passing(BaseHTTPMiddleware):
    """Does nothing."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


class Reading(BaseHTTPMiddleware):
    """Reads the body."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        await request.body()
        return await call_next(request)


async def as_asgiref(scope: Scope, receive: Receive, _send: Send) -> None:
    """Takes nothing but a body, as asgiref's `WsgiToAsgi` does."""
    assert scope["type"] == "http"
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ValueError("WSGI wrapper received a non-HTTP-request message")
        more = message["more_body"]


async def as_django(scope: Scope, receive: Receive, _send: Send) -> None:
    """Ends in silence, as Django does."""
    assert scope["type"] == "http"
    while (await receive())["type"] != "http.disconnect":
        pass


def fastapi() -> Any:
    app = FastAPI()
    app.post("/")(take)
    return app


def routes(endpoint: Any = read, **given: Any) -> Service:
    return Service("left", routes=[Route("/", endpoint, methods=["POST"])], **given)


APPS: dict[str, Callable[[], Service]] = {
    "starlette": routes,
    "group": lambda: routes(read_in_a_group),
    "handler": lambda: routes(exception_handlers={Exception: answer_500}),
    "middleware": lambda: routes(middleware=[Middleware(Passing)]),
    "reading": lambda: routes(middleware=[Middleware(Reading)]),
    "app": lambda: Service("left", app=Starlette(routes=[Route("/", read, methods=["POST"])])),
    "fastapi": lambda: Service("left", app=fastapi()),
    "litestar": lambda: Service("left", app=litestar.Litestar([take_for_litestar], logging_config=None)),
    "asgiref": lambda: Service("left", app=as_asgiref),
    "django": lambda: Service("left", app=as_django),
}


def leave(port: int, framing: str, *, reset: bool) -> None:
    """Sends half a body, and goes."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
        sock.sendall(head.encode() + (b'6\r\n{"name\r\n' if "chunked" in framing else b'{"name'))
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def line_of(logged: Any) -> dict[str, Any]:
    for _ in range(200):
        if lines := logged("http.request"):
            return dict(lines[0])
        await asyncio.sleep(0.02)
    raise TimeoutError


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
@pytest.mark.parametrize("framing", ["Content-Length: 50", "Transfer-Encoding: chunked"], ids=["length", "chunked"])
@pytest.mark.parametrize("app", APPS)
async def test_a_client_that_leaves_before_its_body_is_whole_is_a_499(
    serve: Any, logged: Any, app: str, framing: str, *, reset: bool
) -> None:
    served = await serve(APPS[app]())
    await asyncio.to_thread(leave, served.port, framing, reset=reset)
    line = await line_of(logged)
    assert line["status"] == 499
    assert not [line for line in logged() if line["level"] not in {"info", "debug"}]
    counts = await served.metrics()
    counted = [name for name in counts if name.startswith("http_server_request_duration_seconds_count")]
    assert len(counted) == 1
    assert 'http_response_status_code="499"' in counted[0]


async def test_a_failure_of_the_apps_own_stays_a_500_where_the_client_has_left_unnoticed(
    serve: Any, logged: Any
) -> None:
    async def fail(_: Request) -> Response:
        await asyncio.sleep(0.2)
        raise RuntimeError("a fault")

    served = await serve(Service("left", routes=[Route("/", fail, methods=["POST"])]))
    await asyncio.to_thread(leave, served.port, "Content-Length: 50", reset=False)
    assert (await line_of(logged))["status"] == 500
    assert [line["event"] for line in logged() if line["level"] == "error"] == ["http.error"]


async def test_a_group_with_another_failure_in_it_is_a_500(serve: Any, logged: Any) -> None:
    async def mixed(request: Request) -> Response:
        try:
            await request.body()
        except ClientDisconnect as error:
            raise ExceptionGroup("two", [error, RuntimeError("a fault")]) from None
        return PlainTextResponse("")

    served = await serve(routes(mixed))
    await asyncio.to_thread(leave, served.port, "Content-Length: 50", reset=False)
    assert (await line_of(logged))["status"] == 500
    assert [line["event"] for line in logged() if line["level"] == "error"] == ["http.error"]
