"""The limits on the service port, byte by byte, however `LM_HTTP` calls the parser."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from strict_client import AsyncConnection, ExchangeError, request_bytes

from lmservice import Service

pytestmark = pytest.mark.anyio
EACH_PARSER = pytest.mark.parametrize("http", ["httptools", "h11"])
LIMIT = 1000


class Handlers:
    """Handlers that a test holds back and lets go."""

    def __init__(self) -> None:
        self.entered = asyncio.Semaphore(0)
        self.let_go = asyncio.Event()

    async def hold(self, _: Request) -> Response:
        self.entered.release()
        await self.let_go.wait()
        return PlainTextResponse("held")

    async def hold_a_stream(self, _: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            yield b"begun"
            self.entered.release()
            await self.let_go.wait()

        return StreamingResponse(parts())

    async def read(self, request: Request) -> Response:
        self.entered.release()
        return JSONResponse(len(await request.body()))

    async def read_carelessly(self, request: Request) -> Response:
        try:
            return JSONResponse(len(await request.body()))
        except Exception:  # noqa: BLE001 - what careless handlers do
            return PlainTextResponse("bad request", status_code=400)

    async def stubborn(self, _: Request) -> Response:
        while not self.let_go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.let_go.wait()
        return PlainTextResponse("late")

    def block(self, _: Request) -> Response:
        time.sleep(1.5)
        return PlainTextResponse("late")

    async def drip(self, _: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(10):
                yield b"x"
                await asyncio.sleep(0.12)

        return StreamingResponse(parts())

    def service(self) -> Service:
        posts = {"read": self.read, "read-carelessly": self.read_carelessly}
        gets = {
            "hold": self.hold,
            "hold-a-stream": self.hold_a_stream,
            "stubborn": self.stubborn,
            "block": self.block,
            "drip": self.drip,
        }
        routes = [Route(f"/{name}", handler, methods=["POST"]) for name, handler in posts.items()]
        return Service("limits", routes=routes + [Route(f"/{name}", handler) for name, handler in gets.items()])


@pytest.fixture
async def handlers() -> AsyncIterator[Handlers]:
    each = Handlers()
    yield each
    each.let_go.set()


def write(connection: AsyncConnection, data: bytes) -> None:
    """Sends, and leaves the answer to whoever asks for it."""
    connection._transport.write(data)


def chunked(path: str, *sizes: int, headers: str = "") -> bytes:
    """A request whose body comes in chunks, without a length."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Transfer-Encoding: chunked\r\n\r\n"
    return head.encode() + b"".join(b"%x\r\n%s\r\n" % (size, b"x" * size) for size in (*sizes, 0))


def head(path: str, length: int, *, expect: bool = False) -> bytes:
    """The head of a POST alone."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {length}"]
    return "\r\n".join([*lines, *(["Expect: 100-continue"] if expect else []), "", ""]).encode()


@EACH_PARSER
@pytest.mark.parametrize("path", ["/hold", "/hold-a-stream", "/read"])
async def test_a_request_past_the_concurrency_is_refused_and_one_after_it_served(
    serve: Any, connect: Any, handlers: Handlers, http: str, path: str
) -> None:
    """Streams and slow bodies are in flight too."""
    served = await serve(handlers.service(), http=http, max_concurrency=1)
    first, second = await connect(served.port), await connect(served.port)
    pending = asyncio.create_task(first.request(head(path, 4) if path == "/read" else request_bytes(path)))
    await handlers.entered.acquire()
    refused = await second.request(request_bytes("/read", method="POST", body=b"body"))
    assert refused.status == 503
    assert int(refused.headers["retry-after"]) > 0
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["x-request-id"]
    handlers.let_go.set()
    if path == "/read":
        write(first, b"body")
    assert (await pending).status == 200
    assert (await second.request(request_bytes("/read", method="POST", body=b"body"))).body == b"4"
    assert (await served.metrics())['lmservice_requests_rejected_total{reason="concurrency"}'] == 1


@EACH_PARSER
@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_body_of_just_the_limit_is_taken(
    serve: Any, connect: Any, handlers: Handlers, http: str, framing: str
) -> None:
    served = await serve(handlers.service(), http=http, max_body_size=LIMIT)
    body = request_bytes("/read", method="POST", body=b"x" * LIMIT) if framing == "length" else b""
    connection = await connect(served.port)
    assert (await connection.request(body or chunked("/read", LIMIT // 2, LIMIT // 2))).body == b"1000"


@EACH_PARSER
@pytest.mark.parametrize("path", ["/read", "/read-carelessly"])
@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_client_still_sending_too_much_reads_its_413(
    serve: Any, handlers: Handlers, http: str, path: str, framing: str
) -> None:
    served = await serve(handlers.service(), http=http, max_body_size=LIMIT)
    size = 3_000_000
    body = (
        request_bytes(path, method="POST", body=bytes(size)) if framing == "length" else chunked(path, *[1000] * 3000)
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    for part in range(0, len(body), 100_000):
        writer.write(body[part : part + 100_000])
        await writer.drain()
        await asyncio.sleep(0.005)
    answer = await asyncio.wait_for(reader.readuntil(b"request_id"), 2)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer
    assert (await served.metrics())['lmservice_requests_rejected_total{reason="body_size"}'] == 1


@EACH_PARSER
async def test_a_client_that_asks_first_is_told_413_and_sends_nothing(
    serve: Any, connect: Any, handlers: Handlers, http: str
) -> None:
    served = await serve(handlers.service(), http=http, max_body_size=LIMIT)
    connection = await connect(served.port)
    assert (await connection.request(head("/read", LIMIT + 1, expect=True))).status == 413


@EACH_PARSER
async def test_a_length_beside_chunks_does_not_get_round_the_limit(
    serve: Any, connect: Any, handlers: Handlers, http: str
) -> None:
    """RFC 9112 6.3: chunks rule; or it is refused."""
    served = await serve(handlers.service(), http=http, max_body_size=LIMIT)
    connection = await connect(served.port)
    response = await connection.request(chunked("/read", 900, 900, headers="Content-Length: 5\r\n"))
    assert response.status in {400, 413}


async def test_fastapis_own_reading_of_a_body_does_not_hide_that_it_is_too_large(serve: Any, connect: Any) -> None:
    class Words(BaseModel):
        words: str

    app = FastAPI()

    async def take(words: Words) -> int:
        return len(words.words)

    app.post("/take")(take)
    served = await serve(Service("limits", app=app), max_body_size=LIMIT)
    connection = await connect(served.port)
    response = await connection.request(chunked("/take", 900, 900, headers="Content-Type: application/json\r\n"))
    assert response.status == 413
    assert response.headers["content-type"] == "application/problem+json"


@EACH_PARSER
@pytest.mark.parametrize("path", ["/hold", "/stubborn", "/block"])
async def test_a_request_past_its_time_is_answered_504_whatever_its_handler_does(
    serve: Any, connect: Any, handlers: Handlers, http: str, path: str
) -> None:
    served = await serve(handlers.service(), http=http, request_timeout=0.2)
    connection = await connect(served.port)
    response = await connection.request(request_bytes(path), timeout=1.3)
    assert response.status == 504
    assert response.headers["content-type"] == "application/problem+json"
    assert (await served.metrics())['lmservice_requests_rejected_total{reason="timeout"}'] == 1


@EACH_PARSER
async def test_a_body_that_does_not_come_in_time_is_answered_504(
    serve: Any, connect: Any, handlers: Handlers, http: str
) -> None:
    served = await serve(handlers.service(), http=http, request_timeout=0.2)
    connection = await connect(served.port)
    assert (await connection.request(head("/read", 10))).status == 504


@EACH_PARSER
async def test_a_stream_goes_on_past_the_time_limit(serve: Any, connect: Any, handlers: Handlers, http: str) -> None:
    served = await serve(handlers.service(), http=http, request_timeout=0.2)
    connection = await connect(served.port)
    assert (await connection.request(request_bytes("/drip"))).body == b"x" * 10


async def test_a_time_limit_of_0_is_none(serve: Any, connect: Any, handlers: Handlers) -> None:
    served = await serve(handlers.service(), request_timeout=0)
    connection = await connect(served.port)
    assert (await connection.request(request_bytes("/block"))).status == 200


async def lost(connection: AsyncConnection, drips: bytes = b"") -> float:
    """How long it takes until the service ends the connection, while bytes drip."""
    began = asyncio.get_running_loop().time()
    ended = asyncio.create_task(connection.receive())
    for drip in drips:
        if not ended.done():
            write(connection, bytes([drip]))
            await asyncio.wait([ended], timeout=0.1)
    with pytest.raises(ExchangeError) as caught:
        await asyncio.wait_for(ended, 5)
    assert caught.value.kind in {"closed", "reset"}
    return asyncio.get_running_loop().time() - began


@EACH_PARSER
async def test_a_head_that_is_not_complete_in_time_ends_its_connection(
    serve: Any, connect: Any, handlers: Handlers, http: str
) -> None:
    """Silent, half sent and silent, dripping, and dripping on a connection that was used before."""
    served = await serve(handlers.service(), http=http, head_timeout=0.5)
    silent, half, dripping, used = [await connect(served.port) for _ in range(4)]
    await used.request(request_bytes("/nonesuch"))
    write(half, b"GET / HTTP/1.1\r\nHo")
    drips = b"GET /nonesuch HTTP/1.1\r\nHost: localhost\r\n\r\n"
    times = await asyncio.gather(lost(silent), lost(half), lost(dripping, drips), lost(used, drips))
    assert all(0.4 < seconds < 2 for seconds in times), times


@EACH_PARSER
@pytest.mark.parametrize("drips", [b"", b"x", b"x" * 60])
async def test_the_rest_of_a_body_that_nobody_reads_is_not_awaited_for_ever(
    serve: Any, connect: Any, handlers: Handlers, http: str, drips: bytes
) -> None:
    served = await serve(handlers.service(), http=http, keep_alive_timeout=1)
    connection = await connect(served.port)
    answer = await connection.request(head("/nonesuch", 1000) + b"some")
    assert answer.status == 404
    assert await lost(connection, drips) < 4


@EACH_PARSER
async def test_the_time_for_a_head_bounds_neither_a_slow_body_nor_an_idle_connection(
    serve: Any, connect: Any, handlers: Handlers, http: str
) -> None:
    served = await serve(handlers.service(), http=http, head_timeout=0.4)
    slow, idle = await connect(served.port), await connect(served.port)
    await idle.request(request_bytes("/nonesuch"))
    pending = asyncio.create_task(slow.request(head("/read", 4)))
    await asyncio.sleep(1.5)
    write(slow, b"body")
    assert (await pending).body == b"4"
    assert (await idle.request(request_bytes("/nonesuch"))).status == 404


@EACH_PARSER
async def test_what_is_no_http_is_answered_400_and_costs_nobody_else_anything(
    serve: Any, connect: Any, handlers: Handlers, http: str, logged: Any
) -> None:
    served = await serve(handlers.service(), http=http)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"\x16\x03\x01\x02\x00\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 2)).startswith(b"HTTP/1.1 400 ")
    writer.close()
    assert (await (await connect(served.port)).request(request_bytes("/nonesuch"))).status == 404
    assert not [line for line in logged() if line["level"] in {"error", "critical"}]
