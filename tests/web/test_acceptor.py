"""Accepting from a socket that others accept from as well."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from lmservice.web.acceptor import Acceptor
from lmservice.workers.connection_counts import AHEAD, ConnectionCounts

pytestmark = pytest.mark.anyio


class Taken(asyncio.Protocol):
    """Counts the connections of one acceptor."""

    def __init__(self, connections: list[asyncio.BaseTransport]) -> None:
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.append(transport)


class Party:
    """Two acceptors of one socket, on one loop, and what each has taken."""

    def __init__(self) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=1)
        self.sock.settimeout(0)
        self.counts = ConnectionCounts.create(2)
        self.taken: tuple[list[asyncio.BaseTransport], ...] = ([], [])
        self.acceptors = [Acceptor(self.sock.dup(), self._maker(n), self._ahead(n)) for n in (0, 1)]
        self.clients: list[socket.socket] = []

    def _maker(self, number: int) -> Callable[[], asyncio.Protocol]:
        return lambda: Taken(self.taken[number])

    def _ahead(self, number: int) -> Callable[[], bool]:
        return lambda: self.counts.ahead(number + 1, len(self.taken[number]) + len(self.acceptors[number].opening))

    def connect(self, count: int) -> None:
        """Opens connections, which the kernel takes."""
        self.clients += [socket.create_connection(self.sock.getsockname()) for _ in range(count)]

    async def settled(self, count: int) -> list[int]:
        """How many each has taken, once it is so many together."""
        async with asyncio.timeout(10):
            while sum(map(len, self.taken)) < count:  # noqa: ASYNC110 - as it is many events
                await asyncio.sleep(0.001)
        return [len(each) for each in self.taken]

    def close(self) -> None:
        """Closes everything."""
        for acceptor in self.acceptors:
            acceptor.leave()
        for transport in (*self.taken[0], *self.taken[1]):
            transport.close()
        for client in self.clients:
            client.close()
        self.sock.close()


@pytest.fixture
async def party() -> AsyncIterator[Party]:
    party = Party()
    yield party
    party.close()
    await asyncio.sleep(0)


async def test_a_burst_is_shared(party: Party) -> None:
    for acceptor in party.acceptors:
        acceptor.start()
    party.connect(20)
    first, second = await party.settled(20)
    assert abs(first - second) <= AHEAD + 1


async def test_who_is_ahead_takes_what_nobody_else_does(party: Party) -> None:
    for acceptor in party.acceptors:
        acceptor.start()
    party.acceptors[1].leave()  # without a word: as one whose loop stands still
    party.connect(10)
    assert await party.settled(10) == [10, 0]


async def test_what_waits_at_the_close_is_taken_at_once(party: Party) -> None:
    party.acceptors[0].start()
    party.connect(10)  # with no turn of the loop since
    party.acceptors[0].close()
    party.acceptors[0].close()
    assert len(party.acceptors[0].opening) == 10
    assert await party.settled(10) == [10, 0]


async def test_what_waits_when_one_leaves_is_the_others(party: Party) -> None:
    for acceptor in party.acceptors:
        acceptor.start()
    party.connect(5)
    party.acceptors[0].leave()
    assert await party.settled(5) == [0, 5]


def test_only_those_who_take_connections_are_compared() -> None:
    counts = ConnectionCounts.create(3)
    assert not counts.ahead(1, 100)
    assert not counts.ahead(2, 0)
    assert counts.ahead(1, AHEAD + 1)
    assert not counts.ahead(1, AHEAD)
    counts.leave(2)
    assert not counts.ahead(1, 100)
