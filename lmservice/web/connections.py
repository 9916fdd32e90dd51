"""Everything here that knows uvicorn: one listener's connections, watched, limited, and closed without loss.

uvicorn parses HTTP and runs the app; this module adds, through subclasses of its protocols, what a drain needs to
know of each connection, and a close that lingers (RFC 9112 §9.6), so that unread input never turns a close into a
reset that eats the response. The parts of uvicorn that are semi-private (`cycle`, `pipeline`, `scope`, `conn`,
`timeout_keep_alive_task`, `server_state`, `servers`) are touched nowhere else.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from lmservice.runtime import lazy_import
from lmservice.web import sockets
from lmservice.web.acceptor import Acceptor

lazy_import.defer("uvicorn", keep=("uvicorn.config", "Config"))  # its root loads a command line and its supervisors
from uvicorn.config import Config  # noqa: E402
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol  # noqa: E402
from uvicorn.server import Server  # noqa: E402

LINGER_SILENCE = 2.0
"""A lingering close ends when nothing has come for this long, in seconds, …"""
LINGER_LONGEST = 30.0
"""… or after this long."""
QUEUE_LOOKS = 3
"""The accept queue is empty when it was so this often in a row, …"""
QUEUE_INTERVAL = 0.03
"""… this long apart, in seconds; …"""
QUEUE_LONGEST = 1.0
"""… and is not waited for any longer than this."""
DATE_INTERVAL = 1.0
"""How often the `Date` header is renewed, in seconds."""
JOINED = 65_536
"""Up to so many bytes are copied to be sent together with what is held back."""
IDLE_BEFORE_CLOSE = 1.0
"""How long a connection must have been idle to be closed by a drain, in seconds."""


if TYPE_CHECKING:
    _Protocol = HttpToolsProtocol
else:
    _Protocol = object


class Watched(_Protocol):
    """What a listener must know of a connection of either protocol class; mixed in before uvicorn's own."""

    def __init__(self, *args: Any, listener: "Listener", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.listener = listener
        self.app = partial(listener.app, connection=self)
        self.access_log = False  # there is a better one
        self.seen_waiting: tuple[tuple[object, str], float] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Notes when it came, and puts a transport below it whose close lingers."""
        self.listener.last_opened = self.listener.loop.time()
        self.seen_waiting = (None, "head"), self.listener.last_opened
        super().connection_made(cast("asyncio.Transport", _Transport(transport, self, self.listener.corked)))

    @property
    def head_begun(self) -> bool:
        """Whether part of a request's head has come, and not all."""
        raise NotImplementedError

    @property
    def next_request_waits(self) -> bool:
        """Whether a further request has come, wholly or in part, behind the one that is being answered."""
        raise NotImplementedError

    @property
    def answering(self) -> bool:
        """Whether a request has come whose response is not complete."""
        cycle: Any = self.cycle
        return cycle is not None and not cycle.response_complete

    @property
    def gone(self) -> bool:
        """Whether the client has left, or is being left."""
        return bool(self.transport.is_closing())

    def end(self) -> None:
        """Closes it, once what has been written is sent."""
        self.transport.close()

    @property
    def unread(self) -> int:
        """How many bytes have come that nobody has looked at."""
        sock = self.transport.get_extra_info("socket")
        return sockets.unread(sock) if sock is not None else 0

    def busy(self) -> bool:
        """Whether closing now could lose something."""
        return self.answering or self.head_begun or self.transport.get_write_buffer_size() > 0 or self.unread > 0

    @property
    def waits_for(self) -> str:
        """What the client owes: a `head`, the `rest` of the body of an answered request; '' where it owes nothing.

        uvicorn's keep-alive timer runs between requests, and in neither of the two.
        """
        first: Any = self.cycle
        if self.answering:
            return ""
        if self.head_begun or first is None:
            return "head"
        return "rest" if self.timeout_keep_alive_task is None else ""

    @property
    def peer(self) -> str:
        """Who is at the other end: `10.1.2.3:40122`."""
        return ":".join(map(str, self.client)) if self.client else "?"

    @property
    def at(self) -> str:
        """What goes on: an `answer`, half a `head`, the `rest` of a body, or nothing: `idle`."""
        if self.answering:
            return "answer"
        return "head" if self.head_begun else self.waits_for or "idle"

    def waited(self, now: float) -> float:
        """How long the client has owed that, in seconds."""
        wait = self.cycle, self.waits_for
        if not wait[1]:
            self.seen_waiting = None
            return 0.0
        if self.seen_waiting is None or self.seen_waiting[0] != wait:
            self.seen_waiting = wait, now
        return now - self.seen_waiting[1]

    def idle_for(self, now: float) -> float:
        """How long nothing has been going on, in seconds, where the connection is not busy."""
        if self.timeout_keep_alive_task is not None:
            return now - (self.timeout_keep_alive_task.when() - self.timeout_keep_alive)
        return self.waited(now)


class HttpToolsConnection(Watched, HttpToolsProtocol):
    """A connection parsed by httptools."""

    @property
    def head_begun(self) -> bool:
        """Whether the parser has begun a message whose head has not made a cycle yet."""
        scope, cycle = cast("tuple[Any, Any]", (self.scope, self.cycle))
        return scope is not None and (cycle is None or cycle.scope is not scope)

    @property
    def next_request_waits(self) -> bool:
        """Whether one is queued, half parsed, or, where this one's body is complete, unread."""
        return bool(self.pipeline) or self.head_begun or (not self.cycle.more_body and self.unread > 0)


class _Corked:
    """The transports of one listener that hold something back, until the turn of the event loop is over."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transports: list[_Transport] = []

    def add(self, transport: "_Transport") -> None:
        if not self._transports:
            self._loop.call_soon(self._flush)
        self._transports.append(transport)

    def _flush(self) -> None:
        transports, self._transports = self._transports, []
        for transport in transports:
            transport.flush()


class _Transport:
    """A transport that sends a response's head together with its body, and whose `close` lingers.

    uvicorn writes the two apart, which costs a system call and a packet more. So a write is held back until the next
    one joins it, or the turn of the event loop is over. `close` flushes, half-closes, and swallows input for a while
    before it lets go.
    """

    __slots__ = ("_corked", "_held", "_protocol", "_transport", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, protocol: asyncio.Protocol, corked: _Corked) -> None:
        self._transport = transport
        self._protocol = protocol
        self._corked = corked
        self._held = b""
        self.write = self._hold
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _hold(self, data: bytes) -> None:
        held = self._held
        if not held:
            self._held = data if type(data) is bytes else bytes(data)  # another kind may change meanwhile
            self._corked.add(self)
        elif len(data) <= JOINED:
            self._held = b""
            self._transport.write(b"".join((held, data)))
        else:
            self._held = b""
            self._transport.writelines((held, data))

    def flush(self) -> None:
        held, self._held = self._held, b""
        if held:
            self._transport.write(held)

    def get_write_buffer_size(self) -> int:
        return len(self._held) + self._transport.get_write_buffer_size()

    def write_eof(self) -> None:
        self.flush()
        self._transport.write_eof()

    def abort(self) -> None:
        self._held = b""
        self._transport.abort()

    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        self._transport.set_protocol(protocol)

    def close(self) -> None:
        if self.is_closing is _yes:
            return
        gone = self._transport.is_closing()
        self.is_closing = _yes
        self.write = _ignore
        if gone:
            self._transport.close()
        else:
            self.flush()
            _Lingering(self._transport, self._protocol).begin()


def _yes() -> bool:
    return True


def _ignore(data: object) -> None:
    """What is written after a close goes nowhere, as with asyncio's own transports."""


class _Lingering(asyncio.Protocol):
    """The last stage of a connection: everything is written, whatever still comes is swallowed."""

    def __init__(self, transport: asyncio.Transport, before: asyncio.Protocol) -> None:
        self._transport = transport
        self._before = before
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None
        self._heard = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._transport.set_protocol(self)
        with contextlib.suppress(RuntimeError, OSError):
            self._transport.resume_reading()
        with contextlib.suppress(RuntimeError, OSError, NotImplementedError):
            self._transport.write_eof()
        self._heard = self._loop.time()
        self._look()

    def _look(self) -> None:
        """Waits for the flush as long as it takes, then for silence."""
        now = self._loop.time()
        if self._transport.get_write_buffer_size() > 0:
            self._since = None
        elif self._since is None:
            self._since = self._heard = now
        elif now - self._heard >= LINGER_SILENCE or now - self._since >= LINGER_LONGEST:
            self._transport.close()
            return
        self._timer = self._loop.call_later(LINGER_SILENCE / 4, self._look)

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - swallowed
        self._heard = self._loop.time()

    def pause_writing(self) -> None:
        self._before.pause_writing()

    def resume_writing(self) -> None:
        self._before.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._before.connection_lost(exc)


class _Server(Server):
    """uvicorn's server without its signals and its shutdown, which are what requests are lost by."""

    def __init__(self, config: Config, state: Mapping[str, Any]) -> None:
        super().__init__(config)
        self._request_state = state
        self.accepting = asyncio.Event()
        self.leave = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.lifespan.state.update(self._request_state)  # each request gets a copy as its `state`
        await super().startup(sockets)
        self.accepting.set()

    async def main_loop(self) -> None:
        """Keeps the `Date` header right until it is time to leave."""
        while not self.leave.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.leave.wait(), DATE_INTERVAL)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - they are `servers`'
        """Stops listening; the connections have been drained by then."""
        for server in self.servers:
            server.close()


class Listener:
    """One listening socket and its connections.

    Args:
        app: called with `connection=` as well, where the request came over HTTP.
        sock: bound, not listening.
        protocol: what parses HTTP.
        state: what each request's `state` begins as.
        websockets: whether they are accepted, where a library for them is installed.
        ahead: where other processes accept from the same socket: whether they should go first, as so many connections
            are open here.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        sock: socket.socket,
        *,
        protocol: type[Watched] = HttpToolsConnection,
        keep_alive_timeout: float,
        head_timeout: float,
        state: Mapping[str, Any],
        websockets: bool = True,
        ahead: Callable[[int], bool] | None = None,
    ) -> None:
        self.app = app
        self.sock = sock
        self.last_opened = 0.0
        self.loop = asyncio.get_running_loop()
        self.corked = _Corked(self.loop)
        self._head_timeout = head_timeout
        self._keep_alive_timeout = keep_alive_timeout
        config = Config(
            app,
            http=cast("type[asyncio.Protocol]", partial(protocol, listener=self)),
            interface="asgi3",
            lifespan="off",
            ws="auto" if websockets else "none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=cast("int", keep_alive_timeout),
        )
        self._server = _Server(config, state)
        self._serving: asyncio.Task[None] | None = None
        self._ahead = ahead
        self._acceptor: Acceptor | None = None

    async def start(self) -> None:
        """Listens; returns once connections are accepted.

        Raises:
            OSError: another process has begun to listen on the same port.
        """
        sockets.allow_sharing(self.sock)
        listening = [self.sock] if self._ahead is None else []
        self._serving = asyncio.create_task(self._server.serve(sockets=listening), name="listener")
        accepting = asyncio.create_task(self._server.accepting.wait())
        await asyncio.wait([self._serving, accepting], return_when=asyncio.FIRST_COMPLETED)
        if not accepting.done():
            accepting.cancel()
            await self._serving
        if self._ahead is not None:
            ahead = self._ahead
            self._acceptor = Acceptor(self.sock, self._protocol_factory(), lambda: ahead(self.open))
            self._acceptor.start()

    @property
    def connections(self) -> list[Watched]:
        """The HTTP connections that are open."""
        return [each for each in list(self._server.server_state.connections) if isinstance(each, Watched)]

    @property
    def open(self) -> int:
        """How many connections are open, WebSockets included."""
        opening = self._acceptor.opening if self._acceptor is not None else ()
        return len(self._server.server_state.connections) + len(opening)

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """The tasks that run the app: requests, WebSockets, and background tasks behind a response."""
        return self._server.server_state.tasks

    def report(self) -> dict[str, Any]:
        """How many connections are open, and what each that speaks HTTP is at; may be called from any thread."""
        connections = self.connections
        each = [{"peer": connection.peer, "at": connection.at} for connection in connections]
        return {"open": self.open, "websockets": max(0, self.open - len(each)), "each": each}

    def sweep(self) -> None:
        """Ends the connections that have kept a head, or the rest of a body, waiting too long; every second or so."""
        now = self.loop.time()
        for connection in self.connections:
            limit = self._head_timeout if connection.waits_for == "head" else self._keep_alive_timeout
            if connection.waited(now) > limit and not connection.transport.is_closing():
                connection.transport.abort()  # nothing has been said that a lingering close would protect

    async def refuse(self) -> None:
        """Refuses new connections, accepts those that wait in the queue, then stops listening."""
        if not sockets.refuse_new(self.sock):
            await self._stop_listening_at_once()
            return
        deadline, empty = self.loop.time() + QUEUE_LONGEST, 0
        while empty < QUEUE_LOOKS and self.loop.time() < deadline:
            await asyncio.sleep(QUEUE_INTERVAL)
            empty = empty + 1 if sockets.queue_length(self.sock) == 0 else 0
        self._close_servers()

    def leave(self) -> None:
        """Stops accepting, and leaves the queue to the other processes that accept from the same socket."""
        if self._acceptor is not None:
            self._acceptor.leave()

    async def _stop_listening_at_once(self) -> None:
        if self._acceptor is not None:
            self._close_servers()
            return
        listener = self.sock.dup()
        make = self._protocol_factory()
        self._close_servers()
        waiting = list(sockets.take_queue(listener))
        listener.close()
        for sock in waiting:
            with contextlib.suppress(OSError):
                await self.loop.connect_accepted_socket(make, sock)

    def _protocol_factory(self) -> Callable[[], asyncio.Protocol]:
        server = self._server
        make = cast("Callable[..., asyncio.Protocol]", server.config.http_protocol_class)
        return partial(make, config=server.config, server_state=server.server_state, app_state=server.lifespan.state)

    def _close_servers(self) -> None:
        for server in getattr(self._server, "servers", ()):  # none where the start was stopped
            server.close()
        if self._acceptor is not None:
            self._acceptor.close()

    def close_websockets(self) -> None:
        """Closes each WebSocket with 1012, service restart (RFC 6455's registry)."""
        for connection in list(self._server.server_state.connections):
            if not isinstance(connection, Watched):
                connection.shutdown()

    def close_idle(self, idle: float = IDLE_BEFORE_CLOSE) -> None:
        """Closes the connections on which nothing goes on, and nothing has for `idle` seconds."""
        now = self.loop.time()
        for connection in self.connections:
            if not connection.busy() and connection.idle_for(now) >= idle:
                connection.transport.close()

    async def close(self) -> None:
        """Ends the listener; connections still open are cut."""
        if self._serving is None:
            self.sock.close()
            return
        for connection in list(self._server.server_state.connections):
            with contextlib.suppress(AttributeError):
                connection.transport.abort()
        self._server.leave.set()
        self.leave()
        await asyncio.wait([self._serving], timeout=1)
