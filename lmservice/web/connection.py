"""One HTTP/1.1 connection: its requests in their order, what is written, and how it ends (RFC 9112).

A close lingers (§9.6): what has been written is sent, the client is told the end, and what it still sends is swallowed
for a while, as unread input would turn the close into a reset that eats the response. A client's end of its own means
nothing but that it will send no more: it gets its answers first.
"""

import asyncio
import math
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, cast

from lmservice.web import patience, sockets
from lmservice.web.admission import start
from lmservice.web.cycle import Cycle
from lmservice.web.intake import Intake
from lmservice.web.outgoing import JOINED, Outgoing
from lmservice.web.parsing import Refusal

if TYPE_CHECKING:
    from lmservice.web.listener import Listener

_EMPTY: Final[deque[Cycle]] = deque()
At = Literal["answer", "head", "rest", "idle"]


class HttpConnection(Outgoing):
    """A connection of a listener.

    Attributes:
        client: the peer's address and port.
        server: this side's.
        pipeline: the requests behind it, in their order.
        ended: whether the client has said that it sends no more.
        leaves_at: when it has been open long enough, in the loop's seconds.
        since: when it came, or was last answered.
        head_since: when the first part of a head came whose rest has not; 0 where none has.
        heard: when something last came that was swallowed.
        sent_at: when all was sent of what was written before the close.
    """

    __slots__ = (
        "_behind", "_intake", "_read_paused", "_used", "_websocket", "client", "ended", "head_since", "heard",
        "leaves_at", "pipeline", "sent_at", "server", "since",
    )  # fmt: skip

    def __init__(self, listener: "Listener") -> None:
        super().__init__(listener)
        self.client: tuple[str, int] | None = None
        self.server: tuple[str, int] | None = None
        self.pipeline: deque[Cycle] = _EMPTY
        self.ended = False
        self.leaves_at = math.inf
        self.since = self.head_since = self.heard = self.sent_at = 0.0
        self._intake: Intake | None = None
        self._behind = self._read_paused = self._used = False
        self._websocket = b""

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a head."""
        self.transport = cast("asyncio.Transport", transport)
        self.client, self.server = sockets.addresses(self.transport)
        self.since = self.listener.opened(self)

    def data_received(self, data: bytes) -> None:
        """Take what has come; swallow it where the connection is being closed."""
        if self.closing:
            self.heard = self.listener.loop.time()
            return
        intake = self._intake
        if intake is None:
            intake = self._intake = Intake(self)
        elif intake.rest:
            intake.rest = b"".join((intake.rest, data))
            return
        intake.feed(data)
        if intake.in_head:
            if not self.head_since:
                self.head_since = self.listener.loop.time()
                self.listener.wheel.add(self, self.head_since + self.listener.limits.head_timeout)
        else:
            self.head_since = 0.0
        if intake.rest:
            self._behind = True
            self.pause_reading()

    def eof_received(self) -> bool:
        """Answer what has been asked, then close."""
        self.ended = self._behind = True
        if self.closing or self.cycle is None:
            self.flush()
            self.closing = True
            return False
        self.cycle.abandoned = self.cycle.queued_in + 1 < self.listener.admission.turns  # 1: it may have come with it
        self.cycle.wake()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Let whoever waits for the client know that it has gone."""
        del exc
        self.listener.lost(self)
        self.closing = True
        self._intake = None
        self.held = b""
        self.pipeline = _EMPTY
        if self.cycle is not None:
            self.cycle.lose()
            self.cycle = None
        self.resume_writing()

    # What comes in.

    def take(self, cycle: Cycle) -> None:
        """Answer a request, after those that came before it."""
        if self.cycle is None:
            self._begin(cycle)
            return
        if self.pipeline is _EMPTY:
            self.pipeline = deque()
        self.pipeline.append(cycle)
        self.pause_reading()

    def _begin(self, cycle: Cycle) -> None:
        self.cycle = cycle
        if self.write_paused:
            cycle.must_wait = True
        self.listener.cycles.add(cycle)
        cycle.arrived = time.monotonic()
        admission = self.listener.admission
        if admission.pressed or admission.unstarted >= admission.batch:
            admission.take(cycle)
        else:
            admission.unstarted += 1
            start(cycle)

    def break_off(self, cycle: Cycle, refusal: Refusal) -> None:
        """Let a request end whose body broke the rules: no more of it can come."""
        cycle.malformed, cycle.keep_alive = refusal, False
        cycle.wake()
        if cycle.complete:
            self.close()

    def rest_has_come(self) -> None:
        """Begin to be idle, now that the body of the answered request is whole."""
        self.since = self.listener.loop.time()

    def begin_websocket(self, head: bytes) -> None:
        """Let a WebSocket take over, once the requests before it are answered."""
        self._websocket = head
        self._behind = True
        if self.cycle is None:
            self._go_on()
        else:
            self.pause_reading()

    def pause_reading(self) -> None:
        """Take in no more for now."""
        if not self._read_paused and not self.ended and not self.transport.is_closing():
            self._read_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Take in more."""
        if self._read_paused and not self.ended:
            self._read_paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def take_more(self, cycle: Cycle) -> None:
        """Take in more for the request that is being answered, as long as none waits behind it."""
        if self.pipeline or self._websocket:
            return
        intake = self._intake
        if intake is not None and intake.rest:
            if not cycle.more_body:
                return
            self._feed_rest(intake)
            if self._behind or self.pipeline:
                return
        self.resume_reading()

    def answered(self, cycle: Cycle) -> None:
        """Go on behind a response that is whole."""
        if cycle is not self.cycle:
            return
        self.cycle = None
        self._used = True
        listener = self.listener
        if self.write_paused or listener.draining or self._written - self._mark > JOINED:
            self.remember_unsent(cycle)
        self._mark = self._written
        if not cycle.keep_alive:
            self.close()
        elif self.pipeline:
            self._begin(self.pipeline.popleft())
        elif self._behind:
            self._go_on()
        else:
            self.since = listener.loop.time()
            if self._read_paused:
                self.resume_reading()

    def _go_on(self) -> None:
        """Take up what has waited unparsed; a client that sends no more is left."""
        intake = self._intake
        if intake is not None and intake.rest:
            self._feed_rest(intake)
            if self.cycle is not None:
                return
        if self._websocket:
            head, self._websocket = self._websocket, b""
            self._intake = None
            self.flush()
            self.resume_reading()
            self.listener.begin_websocket(self, head)
        elif self.ended:
            self.close()
        else:
            self.since = self.listener.loop.time()
            self.resume_reading()

    def _feed_rest(self, intake: Intake) -> None:
        intake.feed_rest()
        self._behind = bool(intake.rest or self.ended or self._websocket)

    # How it ends.

    def close(self) -> None:
        """Send what has been written, then let go: not before the client has, or nothing has come for a while."""
        if self.closing:
            return
        self.flush()
        self.closing = True
        self.pipeline = _EMPTY
        if self.cycle is not None:
            self.cycle.lose()
            self.cycle = None
        if self.ended or self.transport.is_closing():
            self.transport.close()
            return
        patience.begin_end(self, self.listener.loop.time())
        self.listener.wheel.add(self, self.heard)

    def shrink(self) -> None:
        """Let go of the parser until something comes, as an idle connection needs none."""
        self._intake = None

    def look(self, now: float) -> float | None:
        """Do what is due."""
        return None if self.transport.is_closing() else patience.look(self, now)

    # What may be known of it.

    @property
    def gone(self) -> bool:
        """Whether the client has left, or is being left."""
        return self.closing or self.transport.is_closing()

    @property
    def unread(self) -> int:
        """How many bytes have come that nobody has looked at."""
        sock = self.transport.get_extra_info("socket")
        return sockets.unread(sock) if sock is not None else 0

    @property
    def next_request_waits(self) -> bool:
        """Whether a further request has come, wholly or in part, behind the one that is being answered."""
        if self.pipeline or self._websocket:
            return True
        intake = self._intake
        if intake is None or intake.over:
            return False
        return bool(intake.rest) or intake.in_head or (intake.reading is None and self.unread > 0)

    def ends_with_this(self) -> bool:
        """Return whether the response that begins is the last: the client has ended, or has been here long enough."""
        return (self.ended or self.listener.loop.time() >= self.leaves_at) and not self.next_request_waits

    def busy(self) -> bool:
        """Return whether closing now could lose something."""
        if self.cycle is not None or (self._intake is not None and self._intake.in_head):
            return True
        return self.transport.get_write_buffer_size() > 0 or self.unread > 0

    @property
    def at(self) -> At:
        """What goes on: an `answer`, the wait for a `head` or for the `rest` of a body, or nothing: `idle`."""
        if self.cycle is not None:
            return "answer"
        intake = self._intake
        if not self._used or (intake is not None and intake.in_head):
            return "head"
        return "rest" if intake is not None and intake.reading is not None else "idle"
