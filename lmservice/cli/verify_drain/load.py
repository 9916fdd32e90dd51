"""Clients that never retry, for `lmservice verify-drain`: whatever a stop does to a request, they count.

A friendly client hides a loss: it retries on a reset, takes a short body for a whole one, opens another connection.
h11 parses, which tells a whole response from one that was cut short.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus

import h11

_MOST = 65_536
_REFUSAL_PAUSE = 0.02


class LossError(Exception):
    """A request that was sent, or a connection that was asked for, and did not end in one whole response."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass
class Load:
    """Keep-alive clients, each of which sends one request after another.

    Attributes:
        timeout: how long a response may take, in seconds.
        served: how many were answered whole, below 500.
        missed: how many of them with 404.
        refused: connections refused, before anything was sent on them: no loss once a listener is closed, …
        refused_early: … but one as long as the service must accept.
        losses: by their kind, how many of the rest.
        accepting: whether the service must accept connections now.
        first: by the same kinds, the moment of the first one, of `time.monotonic`.
    """

    host: str
    port: int
    path: str
    timeout: float
    served: int = 0
    missed: int = 0
    refused: int = 0
    accepting: bool = True
    losses: Counter[str] = field(default_factory=Counter)
    first: dict[str, float] = field(default_factory=dict)
    stopping: bool = False

    async def run(self, clients: int) -> None:
        """Send with so many clients until `stopping`."""
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._client())

    async def _client(self) -> None:
        while not self.stopping:
            try:
                reader, writer = await asyncio.open_connection(self.host, self.port)
            except OSError:
                await self._refused()
                continue
            try:
                await self._use(reader, writer)
            except LossError as loss:
                self._lost(loss.kind)
            finally:
                writer.close()

    async def _refused(self) -> None:
        self.refused += 1
        if self.accepting:
            self._lost("refused while the service should accept")
        await asyncio.sleep(_REFUSAL_PAUSE)

    def _lost(self, kind: str) -> None:
        self.losses[kind] += 1
        self.first.setdefault(kind, time.monotonic())

    async def _use(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.CLIENT)
        while not self.stopping:
            status = await self._exchange(connection, reader, writer)
            if status >= 500:  # noqa: PLR2004 - a server error
                self._lost(f"answered {status}")
            else:
                self.served += 1
                self.missed += status == HTTPStatus.NOT_FOUND
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()

    async def _exchange(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> int:
        host = f"{self.host}:{self.port}"
        request = h11.Request(method="GET", target=self.path, headers=[("Host", host), ("User-Agent", "lmservice")])
        sent = connection.send(request) or b""
        begun = False
        try:
            writer.write(sent + (connection.send(h11.EndOfMessage()) or b""))
            async with asyncio.timeout(self.timeout):
                status = 0
                while not isinstance(event := connection.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
                    if isinstance(event, h11.Response):
                        status = event.status_code
                    if event is h11.NEED_DATA:
                        data = await reader.read(_MOST)
                        begun = begun or bool(data)
                        connection.receive_data(data)
        except TimeoutError:
            raise LossError(f"no whole answer within {self.timeout:g} s") from None
        except OSError:
            raise LossError("reset" if not begun else "reset within the answer") from None
        except h11.RemoteProtocolError:
            raise LossError("truncated" if begun else "closed without an answer") from None
        if not status:
            raise LossError("closed without an answer")
        return status
