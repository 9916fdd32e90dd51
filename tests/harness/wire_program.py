"""The service of the tests of what goes over the wire, in a process of its own or in the test's."""

import asyncio
import contextvars
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from lmservice import Service

who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


async def echo(request: Request) -> Response:
    return PlainTextResponse(f"{request.method} {len(await request.body())}")


async def slow(request: Request) -> Response:
    await request.body()
    await asyncio.sleep(0.2)
    return PlainTextResponse("slow")


async def stream(_: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        for part in (b"one ", b"two ", b"three"):
            yield part
            await asyncio.sleep(0.05)

    return StreamingResponse(parts())


async def endless(_: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b"more"
            await asyncio.sleep(0.01)

    return StreamingResponse(parts())


async def large(_: Request) -> Response:
    return Response(bytes(16 << 20))


async def where(request: Request) -> Response:
    return JSONResponse({"url": str(request.url), "host": request.headers["host"]})


async def bind(request: Request) -> Response:
    seen = who.get()
    who.set("somebody")
    await request.body()
    return PlainTextResponse(seen)


async def behind(_: Request) -> Response:
    async def late() -> None:
        await asyncio.sleep(0.2)
        done.append("late")

    return PlainTextResponse("done", background=BackgroundTask(late))


async def loaded(_: Request) -> Response:
    return PlainTextResponse(str("uvicorn.config" in sys.modules))


async def echo_socket(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        return


done: list[str] = []
_handlers: list[Callable[..., Any]] = [echo, slow, stream, endless, large, where, bind, behind, loaded]


def new_service() -> Service:
    """One for each test."""
    routes = [Route(f"/{each.__name__}", each, methods=["GET", "POST", "QUERY"]) for each in _handlers]
    return Service("wire", routes=[*routes, WebSocketRoute("/echo-socket", echo_socket)])


service = new_service()
