"""Requests at a fixed rate, whatever the answers take: each one's latency counts from when it was due."""

import asyncio
import contextlib
import selectors
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, cast

CONNECTIONS = 16
PATIENCE = 20.0
"""How long answers that are overdue are waited for at the end, in seconds."""


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes, latencies: list[float]) -> None:
        self._request = request
        self._latencies = latencies
        self._due: deque[float] = deque()
        self._answer = b""
        self._transport: asyncio.Transport
        self.idle = asyncio.Event()
        self.idle.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, due: float) -> None:
        self._due.append(due)
        self.idle.clear()
        if len(self._due) == 1:
            self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, _, body = self._answer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 1)
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the service answered {head!r}")
        self._answer = b""
        self._latencies.append(time.perf_counter() - self._due.popleft())
        if self._due:
            self._transport.write(self._request)
        else:
            self.idle.set()

    def close(self) -> None:
        """Counts what has not been answered as if it were now."""
        self._latencies += [time.perf_counter() - due for due in self._due]
        self._transport.close()


async def paced(port: int, path: str, *, rate: float, seconds: float) -> list[float]:
    """The latency of each request, in seconds, of `rate` a second over `CONNECTIONS` keep-alive connections."""
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    made = [
        (await loop.create_connection(lambda: _Connection(request, latencies), "127.0.0.1", port))[1]
        for _ in range(CONNECTIONS)
    ]
    began = time.perf_counter()
    for number in range(round(rate * seconds)):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        made[number % CONNECTIONS].ask(due)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*[each.idle.wait() for each in made]), PATIENCE)
    for each in made:
        each.close()
    return latencies


def run(work: Coroutine[Any, Any, list[float]]) -> list[float]:
    """Runs it on a loop whose timers are exact to less than a millisecond, which epoll's are not."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(work)
