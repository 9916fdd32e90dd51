"""One listening socket and its connections: opened when the service is ready, and closed without losing any."""

import asyncio
import contextvars
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Final
from weakref import WeakSet

from lmservice.web import sockets
from lmservice.web.acceptor import Acceptor
from lmservice.web.admission import Admission
from lmservice.web.connection import HttpConnection
from lmservice.web.corked import Corked
from lmservice.web.cycle import Cycle
from lmservice.web.patience import Limits
from lmservice.web.refused import answer_refused
from lmservice.web.response import Beginnings, is_event_stream
from lmservice.web.turned_away import TurnedAway
from lmservice.web.websockets import WebSockets
from lmservice.web.wheel import Wheel

QUEUE_LOOKS: Final = 3
"""The accept queue is empty when it was so this often in a row, …"""
QUEUE_INTERVAL: Final = 0.03
"""… this long apart, in seconds; …"""
QUEUE_LONGEST: Final = 1.0
"""… and is not waited for any longer than this."""
IDLE_BEFORE_CLOSE: Final = 1.0
"""How long a connection must have been idle to be closed by a drain, in seconds."""
HEAD_LEFT: Final = 1.0
"""How long the app of a HEAD may go on once it has been answered, in seconds, unless it ends the response itself."""
HURRIED_SILENCE: Final = 0.2
"""How long nothing may have come before a lingering close ends when a stop is in a hurry, in seconds."""
AGE_SPREAD: Final = 0.1
"""By which share a connection's age is drawn shorter or longer."""
MOST_HOSTS: Final = 1000
"""So many values of the field `Host` are remembered as well formed."""

_listening: Final[WeakSet["Listener"]] = WeakSet()


class Listener:
    """One listening socket and its connections.

    Args:
        app: called with `connection` as a fourth argument, where the request came over HTTP.
        sock: bound, not listening.
        limits: what its connections may take.
        state: what each request's `state` begins as.
        websockets: whether they are accepted, where a library for them is installed.
        any_host: whether a malformed `Host` is left to the app to judge.
        ahead: where other processes accept from the same socket: whether they should go first, as so many connections
            are open here.
        reserve: whether the process's last descriptors are kept back from those who connect here.
        refused: answers in the place of `app` what no request can be made of; with why as a fourth argument.
        admission: decides what begins, what waits and what is refused; else everything begins at once.
        turned_away: answers what is refused.
        given_up: is told of each request that was not begun, as its client has gone.
        on_rejected: called with the reason for each request that a limit of the connection's ends.

    Attributes:
        draining: whether the service stops.
        refusing: whether new connections are refused.
        cutting_off: whether what is not complete is to be seen to be cut short.
        refused_connections: how many were refused, by reason.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        sock: socket.socket,
        *,
        limits: Limits,
        state: Mapping[str, Any],
        websockets: bool = True,
        any_host: bool = False,
        ahead: Callable[[int], bool] | None = None,
        reserve: bool = False,
        refused: Callable[..., Any] = answer_refused,
        on_rejected: Callable[[str], None] = lambda _reason: None,
        admission: Admission | None = None,
        turned_away: TurnedAway | None = None,
        given_up: Callable[[MutableMapping[str, Any], Cycle], None] = lambda _scope, _cycle: None,
    ) -> None:
        self.app, self.sock, self.limits, self.refused = app, sock, limits, refused
        self.state = dict(state)
        self.on_rejected, self.any_host = on_rejected, any_host
        self.admission = admission or Admission(adaptive=False)
        self.turned_away = turned_away or TurnedAway(self.admission)
        self.given_up = given_up
        self.loop = asyncio.get_running_loop()
        self.context = contextvars.copy_context()
        self.corked = Corked(self.loop)
        self.beginnings = Beginnings()
        self.wheel = Wheel()
        self.hosts: set[bytes] = set()
        self.cycles: set[Cycle] = set()
        self.connections: set[HttpConnection] = set()
        self.websockets = WebSockets(app, self.state, self.context) if websockets else None
        self.last_opened = 0.0
        self.draining = self.refusing = self.cutting_off = False
        self.refused_connections = Counter({"descriptors": 0})
        self.ages = limits.max_age > 0
        asked = None if ahead is None else lambda: ahead(self.open)
        self._acceptor = Acceptor(
            sock,
            lambda: HttpConnection(self),
            asked,
            reserve=reserve,
            on_refused=lambda: self.refused_connections.update(("descriptors",)),
        )

    async def start(self) -> None:
        """Listen; connections are accepted once this returns.

        Raises:
            OSError: another process has begun to listen on the same port.
        """
        self.beginnings.turn(time.time())
        sockets.allow_sharing(self.sock)
        self._acceptor.start()
        _listening.add(self)

    # What its connections tell it.

    def opened(self, connection: HttpConnection) -> float:
        """Take a connection on; return the time, by the loop's clock."""
        now = self.last_opened = self.loop.time()
        self.connections.add(connection)
        self.wheel.add(connection, now + min(self.limits.head_timeout, self.limits.horizon))
        if self.ages:
            connection.leaves_at = now + self.limits.max_age * random.uniform(1 - AGE_SPREAD, 1 + AGE_SPREAD)
        return now

    def lost(self, connection: HttpConnection) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        self.wheel.discard(connection)

    def begin_websocket(self, connection: HttpConnection, head: bytes) -> None:
        """Let a connection be a WebSocket from here on."""
        assert self.websockets is not None  # noqa: S101 - else no handshake is taken for one
        self.lost(connection)
        self.websockets.begin(connection.transport, head)

    def remember_host(self, host: bytes) -> None:
        """Note that a value of the field `Host` is well formed."""
        if len(self.hosts) < MOST_HOSTS:
            self.hosts.add(host)

    # What may be known of it.

    @property
    def open(self) -> int:
        """How many connections are open, WebSockets included."""
        return len(self.connections) + len(self.open_websockets) + len(self._acceptor.opening)

    @property
    def open_websockets(self) -> list[Any]:
        """The connections that have become WebSockets."""
        return self.websockets.connections if self.websockets is not None else []

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """The tasks that run the app: requests, WebSockets, and background tasks behind a response."""
        tasks = {cycle.task for cycle in list(self.cycles) if cycle.task is not None and not cycle.task.done()}
        return tasks | self.websockets.tasks if self.websockets is not None else tasks

    @property
    def unsent(self) -> list[Cycle]:
        """The requests whose answers are complete and not wholly sent."""
        return [cycle for connection in list(self.connections) for cycle in connection.unsent]

    def report(self) -> dict[str, Any]:
        """Return how many connections are open, and what each that speaks HTTP is at; to be called from any thread."""
        lines = [{"peer": _peer(connection.client), "at": connection.at} for connection in list(self.connections)]
        return {"open": self.open, "websockets": len(self.open_websockets), "each": lines}

    # What is done with it.

    def sweep(self) -> None:
        """End what has been waited for too long; to be called every half second or so."""
        self.beginnings.turn(time.time())
        now = self.loop.time()
        self.wheel.turn(now)
        for cycle in list(self.cycles):
            if cycle.headed_at and now - cycle.headed_at > HEAD_LEFT and cycle.task is not None:
                cycle.task.cancel()

    async def refuse(self) -> None:
        """Refuse new connections, accept those that wait in the queue, then stop listening."""
        if sockets.refuse_new(self.sock):
            deadline, empty = self.loop.time() + QUEUE_LONGEST, 0
            while empty < QUEUE_LOOKS and self.loop.time() < deadline:
                await asyncio.sleep(QUEUE_INTERVAL)
                empty = empty + 1 if sockets.queue_length(self.sock) == 0 else 0
        self._acceptor.close()
        self.refusing = True

    def leave(self) -> None:
        """Stop accepting, and leave the queue to the other processes that accept from the same socket."""
        self._acceptor.leave()
        self.refusing = True

    def release_event_streams(self, *, hurried: bool) -> None:
        """Tell each stream of server-sent events that its client has gone, so that it ends.

        Who asks (`receive`, starlette's `is_disconnected`) is told; where the stop is in a hurry, who sends is as well.
        """
        for connection in list(self.connections):
            cycle = connection.cycle
            if cycle is not None and cycle.started and is_event_stream(cycle.headers):
                cycle.release(hurried=hurried)

    def close_websockets(self) -> None:
        """Close each WebSocket with 1012, service restart (RFC 6455's registry)."""
        if self.websockets is not None:
            self.websockets.close()

    def close_idle(self, idle: float = IDLE_BEFORE_CLOSE) -> None:
        """Close the connections on which nothing goes on, and nothing has for `idle` seconds."""
        now = self.loop.time()
        for connection in list(self.connections):
            if not connection.closing and not connection.busy() and now - connection.since >= idle:
                connection.close()

    def hurry_lingering(self) -> None:
        """Let go sooner of the clients that have been sent all that is for them, and that do not let go themselves."""
        now = self.loop.time()
        for connection in list(self.connections):
            if (
                connection.closing
                and not connection.transport.is_closing()
                and _all_arrived(connection)
                and now - connection.heard >= HURRIED_SILENCE
            ):
                connection.transport.close()

    async def close(self) -> None:
        """End the listener; connections still open are cut."""
        self.leave()
        for connection in list(self.connections):
            connection.transport.abort()
        if self.websockets is not None:
            self.websockets.abort()
        await asyncio.sleep(0)


def accepted() -> Iterator[socket.socket]:
    """Yield the socket of each connection of this process's listeners, as they are not to reach forked children."""
    for listener in list(_listening):
        for connection in [*listener.connections, *listener.open_websockets]:
            sock = connection.transport.get_extra_info("socket")
            if sock is not None:
                yield sock


def _peer(address: tuple[str, int] | None) -> str:
    """Return who is at the other end: `10.1.2.3:40122`."""
    return ":".join(map(str, address)) if address else "?"


def _all_arrived(connection: HttpConnection) -> bool:
    """Return whether the other end has taken in all that was written, and nothing of what it sent is unread here."""
    sock = connection.transport.get_extra_info("socket")
    return connection.transport.get_write_buffer_size() == sockets.unsent(sock) == connection.unread == 0
