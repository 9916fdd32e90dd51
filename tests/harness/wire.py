"""A connection of lmservice's without a socket: bytes go in, what the app saw and what would be sent come out."""

import asyncio
import re
import socket
from collections.abc import Callable, Sequence
from typing import Any

from lmservice.web.connection import HttpConnection
from lmservice.web.listener import Listener
from lmservice.web.patience import Limits

LIMITS = Limits(keep_alive_timeout=100.0, head_size=4096, headers=50)


class MemoryTransport(asyncio.Transport):
    """Keeps what is written, and takes all of it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 40000), "sockname": ("192.0.2.2", 8081)})
        self.written = bytearray()
        self.calls: list[bytes] = []
        self.closed = self.ended = self.paused = False
        self.buffered = 0

    def write(self, data: Any) -> None:
        assert not self.closed
        assert not self.ended
        self.calls.append(bytes(data))
        self.written += data

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_reading(self) -> bool:
        return not self.paused

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


async def echo(scope: Any, receive: Any, send: Any, _connection: object = None) -> None:
    """Answers with what it was asked, once it has all of it."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    said = f"{scope['method']} {scope['path']} {len(body)}".encode()
    scope["state"]["seen"].append(
        (scope["method"], scope["raw_path"], scope["query_string"], tuple(scope["headers"]), body)
    )
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]})
    await send({"type": "http.response.body", "body": said})


class Wire:
    """One connection; to be made in a running loop.

    Attributes:
        seen: what the app was asked: method, raw path, query, fields, body.
        failures: what the loop was told of that nobody caught.
    """

    def __init__(self, app: Callable[..., Any] = echo, limits: Limits = LIMITS) -> None:
        self.seen: list[Any] = []
        self.failures: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: self.failures.append(context))
        with socket.socket() as never_opened:
            self.listener = Listener(app, never_opened, limits=limits, state={"seen": self.seen}, websockets=False)
        self.listener.beginnings.turn(0)
        self.connection = HttpConnection(self.listener)
        self.transport = MemoryTransport()
        self.connection.connection_made(self.transport)
        self._waiting: list[bytes] = []

    async def feed(self, *parts: bytes) -> None:
        """Gives bytes in, a turn of the loop for each part, none while it does not read."""
        self._waiting += parts
        while self._waiting and not self.transport.closed:
            if not self.transport.paused:
                self.connection.data_received(self._waiting.pop(0))
            await self.turn()
            if self.transport.paused and not self.listener.cycles:
                break

    async def turn(self, turns: int = 5) -> None:
        """Lets the loop turn."""
        for _ in range(turns):
            await asyncio.sleep(0)

    async def settle(self) -> None:
        """Lets everything happen that can without further bytes."""
        for _ in range(2000):
            await asyncio.sleep(0)
            if not self.listener.cycles:
                return

    def end(self) -> None:
        """Says that the client sends no more."""
        if not self.transport.closed and not self.connection.eof_received():
            self.transport.close()

    async def close(self) -> None:
        """Takes the connection away."""
        self.transport.closed = True
        self.connection.connection_lost(None)
        await self.settle()
        for cycle in list(self.listener.cycles):
            if cycle.task is not None:
                cycle.task.cancel()
        await self.turn()

    @property
    def statuses(self) -> list[int]:
        """Of the final responses so far, in their order."""
        return [int(status) for status in re.findall(rb"HTTP/1\.1 ([2-5]\d\d) ", bytes(self.transport.written))]


def in_parts(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Cuts bytes at these places."""
    places = sorted({cut for cut in cuts if 0 < cut < len(data)})
    return [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)], strict=True)]
