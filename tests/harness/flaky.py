"""A server that misbehaves as it is told: answers, hangs, drips and resets by script, and notes what it was asked."""

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

PIECE = 0.02
"""How often a dripping answer drips, in seconds."""


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float


@dataclass(frozen=True)
class Answer:
    """What the server does with a request.

    Attributes:
        delay: how long it waits first, in seconds.
        drip: sends the body a byte at a time, for ever so long.
        reset: cuts the connection instead of answering.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"well"
    delay: float = 0.0
    drip: bool = False
    reset: bool = False


HANG = Answer(delay=60)
DRIP = Answer(drip=True)
RESET = Answer(reset=True)


class Flaky:
    """Listens on a free port of the loopback interface, within `async with`.

    Attributes:
        script: the next answers; afterwards it gives `usual`.
        asked: the requests so far.
        under_way: how many it is answering.
        connections: how many have been opened.
    """

    def __init__(self) -> None:
        self.script: deque[Answer] = deque()
        self.usual = Answer()
        self.asked: list[Asked] = []
        self.connections = 0
        self.under_way = 0
        self.port = 0
        self._open: set[asyncio.Task[Any]] = set()

    @property
    def host(self) -> str:
        """As the labels have it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://{self.host}"

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._open)

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [each.path for each in self.asked]

    def then(self, *answers: Answer | int) -> None:
        """Scripts the next answers; a number is a status."""
        self.script.extend(Answer(each) if isinstance(each, int) else each for each in answers)

    def always(self, answer: Answer | int) -> None:
        """Answers so from now on, once the script is done."""
        self.usual = Answer(answer) if isinstance(answer, int) else answer

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    self.asked.append(await _request(reader))
                    await self._answer(self.script.popleft() if self.script else self.usual, writer)
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _answer(self, answer: Answer, writer: asyncio.StreamWriter) -> None:
        self.under_way += 1
        try:
            await asyncio.sleep(answer.delay)
            if answer.reset:
                raise ConnectionResetError
            writer.write(_head(answer))
            if answer.drip:
                while True:
                    writer.write(b".")
                    await writer.drain()
                    await asyncio.sleep(PIECE)
            writer.write(b"" if self.asked[-1].method == "HEAD" else answer.body)
            await writer.drain()
        finally:
            self.under_way -= 1


async def _request(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head.strip().split("\r\n")
    method, path, _ = line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    if headers.get("transfer-encoding") == "chunked":
        while not body.endswith(b"0\r\n\r\n"):
            body += await reader.readuntil(b"\r\n")
    return Asked(method, path, headers, body, asyncio.get_running_loop().time())


def _head(answer: Answer) -> bytes:
    length = 1_000_000 if answer.drip else len(answer.body)
    headers = {"content-length": str(length), **answer.headers}
    lines = [f"HTTP/1.1 {answer.status} as scripted", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()
