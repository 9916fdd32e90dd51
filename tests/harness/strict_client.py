"""HTTP/1.1 clients that never retry, never guess, and name whatever goes wrong.

A friendly client hides what a stopping server does to it: it retries on a reset, takes a short body for a whole one, or
opens another connection. These do none of that. `Connection` blocks, for tests that read like a transcript;
`AsyncConnection` is for many at once; `Load` keeps many sending and counts what they met.
"""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

Kind = Literal["refused", "reset", "closed", "truncated", "timeout", "malformed"]
HOST = "127.0.0.1"
TIMEOUT = 10.0
PAUSE = 0.01
_CHUNK = 1 << 16


class ExchangeError(Exception):
    """An exchange that did not end in one whole response.

    Attributes:
        kind: `refused` (no connection), `reset`, `closed` (in order, before the response's first byte), `truncated` (in
            order, within the response), `timeout`, `malformed`.
    """

    def __init__(self, kind: Kind, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind: Kind = kind


@dataclass(frozen=True)
class Response:
    """One whole response; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        """Whether it announced that the connection ends with it."""
        return "close" in self.headers.get("connection", "").lower()


def request_bytes(
    path: str = "/",
    *,
    method: str = "GET",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    host: str = "localhost",
) -> bytes:
    """A request as it goes over the wire, with a Content-Length wherever there is a body."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def parse(buffer: bytearray) -> Generator[None, None, Response]:
    """Takes one response (an interim one too) off the front of `buffer`; each yield asks for more bytes in it."""
    status, headers = yield from _head(buffer)
    if status < 200 or status in {204, 304}:
        return Response(status, headers, b"")
    if "chunked" in headers.get("transfer-encoding", ""):
        return Response(status, headers, (yield from _chunks(buffer)))
    if "content-length" not in headers:
        raise ExchangeError("malformed", f"a {status} without a length")
    return Response(status, headers, (yield from _take(buffer, int(headers["content-length"]))))


def _head(buffer: bytearray) -> Generator[None, None, tuple[int, dict[str, str]]]:
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        yield
    first, *lines = bytes(buffer[:end]).decode("latin-1").split("\r\n")
    del buffer[: end + 4]
    version, _, rest = first.partition(" ")
    if version != "HTTP/1.1" or not rest[:3].isdigit():
        raise ExchangeError("malformed", first[:80])
    pairs = (line.partition(":") for line in lines)
    return int(rest[:3]), {name.lower(): value.strip() for name, _, value in pairs}


def _chunks(buffer: bytearray) -> Generator[None, None, bytes]:
    body = bytearray()
    while True:
        while (end := buffer.find(b"\r\n")) < 0:
            yield
        size = int(buffer[:end], 16)
        del buffer[: end + 2]
        chunk = yield from _take(buffer, size + 2)
        if chunk[-2:] != b"\r\n":
            raise ExchangeError("malformed", "a chunk without its end")
        body += chunk[:-2]
        if not size:
            return bytes(body)


def _take(buffer: bytearray, size: int) -> Generator[None, None, bytes]:
    while len(buffer) < size:
        yield
    taken = bytes(buffer[:size])
    del buffer[:size]
    return taken


class Connection:
    """One blocking connection, opened at once.

    Args:
        port: where to connect.
        host: the address to connect to.
        timeout: the longest wait for the peer's next bytes, in seconds.

    Raises:
        ExchangeError: from every method, naming what went wrong.
    """

    def __init__(self, port: int, *, host: str = HOST, timeout: float = TIMEOUT) -> None:
        self._buffer = bytearray()
        self._got = False
        try:
            self.socket = socket.create_connection((host, port), timeout)
        except OSError as error:
            raise _named(error) from error
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Sends every byte."""
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise _named(error) from error

    def receive(self) -> Response:
        """The next response, interim ones included, whole."""
        self._got = bool(self._buffer)
        parsing = parse(self._buffer)
        while True:
            try:
                next(parsing)
            except StopIteration as parsed:
                response: Response = parsed.value
                return response
            self._buffer += self._read()

    def wait_begun(self) -> None:
        """Returns once the next response's first bytes have come."""
        self._got = bool(self._buffer)
        if not self._got:
            self._buffer += self._read()

    def request(
        self, path: str = "/", *, method: str = "GET", body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Response:
        """Sends one request and gives its response."""
        self.send(request_bytes(path, method=method, body=body, headers=headers))
        return self.receive()

    def wait_closed(self) -> None:
        """Returns once the peer has closed in order, with nothing sent before it."""
        self._got = bool(self._buffer)
        try:
            self._buffer += self._read()
        except ExchangeError as error:
            if error.kind == "closed":
                return
            raise
        raise ExchangeError("malformed", f"unasked for: {bytes(self._buffer[:80])!r}")

    def _read(self) -> bytes:
        try:
            data = self.socket.recv(_CHUNK)
        except OSError as error:
            raise _named(error) from error
        if not data:
            raise ExchangeError("truncated" if self._got else "closed")
        self._got = True
        return data


class AsyncConnection(asyncio.Protocol):
    """One asynchronous connection; `await AsyncConnection.open(port)` makes one."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._more = asyncio.Event()
        self._lost: ExchangeError | None = None
        self._got = False
        self._transport: asyncio.Transport

    @classmethod
    async def open(cls, port: int, host: str = HOST) -> Self:
        """Connects.

        Raises:
            ExchangeError: `refused` (or as named) where that fails.
        """
        try:
            _, protocol = await asyncio.get_running_loop().create_connection(cls, host, port)
        except OSError as error:
            raise _named(error) from error
        return protocol

    async def request(self, data: bytes, *, timeout: float = TIMEOUT) -> Response:
        """Sends the bytes of one request and gives its response.

        Raises:
            ExchangeError: `timeout` after so many seconds, or as named.
        """
        self._transport.write(data)
        try:
            async with asyncio.timeout(timeout):
                return await self.receive()
        except TimeoutError as error:
            raise ExchangeError("timeout") from error

    async def receive(self) -> Response:
        """The next response, whole."""
        self._got = bool(self._buffer)
        parsing = parse(self._buffer)
        while True:
            self._more.clear()
            try:
                next(parsing)
            except StopIteration as parsed:
                response: Response = parsed.value
                self._got = bool(self._buffer)
                return response
            if self._lost:
                raise self._lost
            await self._more.wait()

    def close(self) -> None:
        """Closes at once."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's own."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Asyncio's own."""
        self._got = True
        self._buffer += data
        self._more.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio's own."""
        if isinstance(exc, OSError):
            self._lost = _named(exc)
        else:
            self._lost = ExchangeError("truncated" if self._got else "closed")
        self._more.set()


@dataclass
class Load:
    """Keep-alive clients that send one request after another, and open another connection only when told or forced to.

    Attributes:
        target: gives the port that the next new connection goes to; None while there is none.
        request: the bytes of the request.
        timeout: how long a response may take, in seconds.
        pause: what a client waits after each response, in seconds.
        keep_alive: whether a connection serves until told to close, or one request only.
        host: the address that they connect to.
        served: how many were answered below 400.
        refused: how many connections were refused; apart from the failures, as nothing had been sent.
        failures: by kind, or by status ("503"), how many of the rest.
        moments: by the same names and `refused`, `time.monotonic()` of each one.
    """

    target: Callable[[], int | None]
    request: bytes = request_bytes()
    timeout: float = TIMEOUT
    pause: float = 0.0
    keep_alive: bool = True
    host: str = HOST
    served: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    moments: dict[str, list[float]] = field(default_factory=dict)
    stopping: bool = False

    @property
    def refused(self) -> int:
        """How many connections were refused."""
        return len(self.moments.get("refused", ()))

    def stop(self) -> None:
        """Lets each client finish the request it is in."""
        self.stopping = True

    async def run(self, clients: int) -> Self:
        """Sends with so many clients until `stop`."""
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._client())
        return self

    async def _client(self) -> None:
        while not self.stopping:
            if (port := self.target()) is None:
                await asyncio.sleep(PAUSE)
                continue
            try:
                await self._use(await AsyncConnection.open(port, self.host))
            except ExchangeError as error:
                self._note(error.kind)
                await asyncio.sleep(PAUSE)

    async def _use(self, connection: AsyncConnection) -> None:
        try:
            while not self.stopping:
                response = await connection.request(self.request, timeout=self.timeout)
                if response.status < 400:
                    self.served += 1
                else:
                    self._note(str(response.status))
                if response.closes or not self.keep_alive:
                    break
                await asyncio.sleep(self.pause)
        finally:
            connection.close()
        await asyncio.sleep(self.pause)

    def _note(self, name: str) -> None:
        self.moments.setdefault(name, []).append(time.monotonic())
        if name != "refused":
            self.failures[name] += 1


def _named(error: OSError) -> ExchangeError:
    if isinstance(error, ConnectionRefusedError):
        return ExchangeError("refused")
    if isinstance(error, TimeoutError):
        return ExchangeError("timeout")
    return ExchangeError("reset", str(error))
