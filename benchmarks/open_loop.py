"""Requests that come at random times, whatever the answers take, from callers that wait only so long.

Arrivals are Poisson's, at a mean rate; each takes a connection that is free, or waits for one. A caller whose time is
up closes its connection and comes back on a new one, as real ones do. What a closed loop would hide shows here: those
that come do not wait until the service has caught up.
"""

import asyncio
import contextlib
import random
import time
from collections import deque
from dataclasses import dataclass, field
from typing import cast

CONNECTIONS = 200
WAIT = 0.5
"""How long a caller waits for its answer, in seconds."""


@dataclass
class Outcome:
    """What became of the requests of one run.

    Attributes:
        offered: how many came.
        useful: the latency of each that was answered with 200 in time, in seconds since it was due.
        refused: how many got a 503.
        late: how many had no answer in time, or a connection that broke.
        at: when each useful answer came, in seconds since the run began.
    """

    offered: int = 0
    useful: list[float] = field(default_factory=list)
    refused: int = 0
    late: int = 0
    at: list[float] = field(default_factory=list)
    refused_at: list[float] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """The latency that so large a share of the useful answers kept below, in seconds."""
        ordered = sorted(self.useful)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class _Caller(asyncio.Protocol):
    """One connection."""

    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._due = 0.0
        self._answer = b""
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._load.is_free(self)

    def ask(self, due: float, left: float) -> None:
        self._due, self._answer = due, b""
        self._timer = self._load.loop.call_later(left, self._out_of_time)
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        self._answer = self._answer + data if self._answer else data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 0):
            return
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        self._load.answered(self._due, head[9:12])
        if b"connection: close" in head.lower():
            self._transport.close()
        else:
            self._load.is_free(self)

    def _out_of_time(self) -> None:
        self._timer = None
        self._load.lost(self._due)
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._load.lost(self._due)
        self._load.closed(self)

    def close(self) -> None:
        self._transport.abort()


class _Load:
    def __init__(self, port: int, path: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self.outcome = Outcome()
        self.counts_from = self.ends = 0.0
        self._port = port
        self._free: deque[_Caller] = deque()
        self._due: deque[float] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = False

    def open(self) -> None:
        task = self.loop.create_task(self._open())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self) -> None:
        while not self._over:
            with contextlib.suppress(OSError):
                await self.loop.create_connection(lambda: _Caller(self), "127.0.0.1", self._port)
                return
            await asyncio.sleep(0.05)

    def is_free(self, caller: _Caller) -> None:
        now = time.perf_counter()
        while self._due:
            due = self._due.popleft()
            if now - due < WAIT:
                caller.ask(due, WAIT - (now - due))
                return
            self.lost(due)
        self._free.append(caller)

    def closed(self, caller: _Caller) -> None:
        with contextlib.suppress(ValueError):
            self._free.remove(caller)
        if not self._over:
            self.open()

    def arrive(self, due: float) -> None:
        if due >= self.counts_from:
            self.outcome.offered += 1
        if self._free:
            self._free.popleft().ask(due, WAIT)
        else:
            self._due.append(due)

    def answered(self, due: float, status: bytes) -> None:
        if due < self.counts_from:
            return
        now = time.perf_counter()
        if status == b"200":
            self.outcome.useful.append(now - due)
            self.outcome.at.append(now - self.counts_from)
        elif status == b"503":
            self.outcome.refused += 1
            self.outcome.refused_at.append(now - self.counts_from)
        else:
            self.outcome.late += 1

    def lost(self, due: float) -> None:
        if due >= self.counts_from:
            self.outcome.late += 1

    def end(self) -> None:
        self._over = True
        for task in self._tasks:
            task.cancel()
        for caller in list(self._free):
            caller.close()


async def offer(port: int, path: str, phases: list[tuple[float, float]], *, warm_up: float = 0.0) -> Outcome:
    """Return what became of the requests that came in some phases, one behind the other.

    Args:
        port: of the loopback interface.
        path: what is asked for.
        phases: for each its mean rate, in requests a second, and its seconds.
        warm_up: so many seconds at the beginning count for nothing.
    """
    load = _Load(port, path)
    for _ in range(CONNECTIONS):
        load.open()
    await asyncio.sleep(0.3)
    due = began = time.perf_counter()
    load.counts_from = began + warm_up
    drawn = random.Random(7)
    for rate, seconds in phases:
        end = due + seconds
        while (due := due + drawn.expovariate(rate)) < end:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            load.arrive(due)
        due = end
    await asyncio.sleep(max(0.0, due - time.perf_counter()) + WAIT + 0.05)
    load.end()
    return load.outcome


async def best(port: int, path: str, seconds: float, callers: int = 24) -> float:
    """Return how many answers a second so many callers get that each ask again as soon as they are answered."""
    count = 0

    async def ask() -> None:
        nonlocal count
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < ends:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
            count += head.startswith(b"HTTP/1.1 200") and time.perf_counter() < ends
        writer.close()

    ends = time.perf_counter() + seconds
    await asyncio.gather(*(ask() for _ in range(callers)))
    return count / seconds
