"""The service under test, `lmservice run program:service`: one handler for each thing that a stop could spoil."""

import asyncio
import time
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from lmservice import Service


async def hello(request: Request) -> Response:
    return PlainTextResponse("draining" if request.state.lifecycle.draining else "hello")


async def worker(request: Request) -> Response:
    return PlainTextResponse(str(request.state.lifecycle.worker))


async def slow(request: Request) -> Response:
    await asyncio.sleep(float(request.path_params["seconds"]))
    return PlainTextResponse("slow")


async def block(request: Request) -> Response:
    time.sleep(float(request.path_params["seconds"]))  # noqa: ASYNC251 - what it is for
    return PlainTextResponse("blocked")


async def compute(request: Request) -> Response:
    end = time.monotonic() + float(request.path_params["seconds"])
    while time.monotonic() < end:
        pass
    return PlainTextResponse("computed")


async def echo(request: Request) -> Response:
    return Response(await request.body())


async def ignore(_: Request) -> Response:
    return PlainTextResponse("ignored")


async def large(request: Request) -> Response:
    return Response(bytes(request.path_params["mebibytes"] << 20))


async def stream(request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(10):
            yield b"%d\n" % number
            await asyncio.sleep(float(request.path_params["seconds"]) / 10)

    return StreamingResponse(parts())


async def events(request: Request) -> Response:
    async def told() -> AsyncIterator[bytes]:
        yield b"data: begun\n\n"
        await request.state.lifecycle.wait_draining()
        while True:
            yield b"data: draining %d\n\n" % request.state.lifecycle.draining
            if not request.path_params["endless"]:
                return
            await asyncio.sleep(0.1)

    return StreamingResponse(told(), media_type="text/event-stream")


async def websocket(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        return


service = Service(
    "acceptance",
    routes=[
        Route("/", hello),
        Route("/worker", worker),
        Route("/slow/{seconds}", slow),
        Route("/block/{seconds}", block),
        Route("/compute/{seconds}", compute),
        Route("/echo", echo, methods=["POST"]),
        Route("/ignore", ignore, methods=["POST"]),
        Route("/large/{mebibytes:int}", large),
        Route("/stream/{seconds}", stream),
        Route("/events/{endless:int}", events),
        WebSocketRoute("/websocket", websocket),
    ],
)
