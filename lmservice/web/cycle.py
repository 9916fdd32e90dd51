"""One request of a connection and its response, as ASGI has them (https://asgi.readthedocs.io/en/latest/specs/www.html)."""

import asyncio
import logging
import math
from collections.abc import Iterable, MutableMapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from lmservice.web.client_gone import ClientGoneError
from lmservice.web.parsing import Refusal
from lmservice.web.response import compose, is_event_stream

if TYPE_CHECKING:
    from lmservice.web.connection import HttpConnection

BODY_HELD: Final = 65_536
"""Reading pauses while so many bytes of a body wait for the app."""
_FAILED: Final = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed to answer")

_log = logging.getLogger("lmservice.connection")


class Cycle:
    """A request whose head has come, and its response; the app's `receive` and `send` are methods of it.

    Args:
        connection: where it came.
        scope: what the app is told of it.
        fields: its header fields by name, the last of each.
    """

    old = False
    """Whether the client speaks HTTP/1.0."""
    keep_alive = True
    """Whether the connection may take another request after it."""
    expects = False
    """Whether the client waits for `100 Continue` before it sends the body."""
    more_body = True
    """Whether part of the body is still to come."""
    taken = False
    """Whether the app has been given all of the body."""
    started = False
    """Whether the response's head has been handed on."""
    complete = False
    """Whether the response is whole."""
    lost = False
    """Whether nothing can be sent any longer, as the connection is gone, or told that it is."""
    released = False
    """Whether the app of an event stream has been told that its client has gone, as the service stops; …"""
    ends_now = False
    """… whether it is not to send any more either, as the stop is in a hurry."""
    malformed: Refusal | None = None
    """What is wrong with the body, where it broke the rules in mid-stream."""
    refusal: Refusal | None = None
    """Why it is answered without the app."""
    body: list[bytes] | None = None
    """What of the body waits for the app."""
    headers: Iterable[tuple[bytes, bytes]] = ()
    """The response's."""
    held = 0
    """So many bytes of the body wait for the app."""
    to_head = bodiless = chunked = False
    left: int | None = None
    waiting: asyncio.Event | None = None
    task: asyncio.Task[None] | None = None
    in_drain = False
    """Whether its response was complete only after a stop had begun."""
    must_wait = False
    """Whether `caught_up` has to be awaited before more is sent."""
    headed_at = 0.0
    """When the answer to a HEAD was complete while the app went on, in the loop's seconds."""
    arrived = 0.0
    """When it could begin, in seconds of `time.monotonic`."""
    queued_in = math.inf
    """Since which turn of the loop it waits to begin, where it does."""
    abandoned = False
    """Whether its client ended the connection while it waited."""

    def __init__(
        self, connection: "HttpConnection", scope: MutableMapping[str, Any], fields: dict[bytes, bytes]
    ) -> None:
        self.connection = connection
        self.scope = scope
        self.fields = fields
        if scope["method"] == "HEAD":
            self.to_head = True

    @property
    def next_request_waits(self) -> bool:
        """Whether a further request has come behind this one."""
        return self.connection.next_request_waits

    @property
    def gone(self) -> bool:
        """Whether the client has left, or is being left, or never sent the whole request."""
        return self.lost or self.connection.gone or (self.more_body and self.connection.ended)

    def end(self) -> None:
        """Close the connection, once what has been written is sent."""
        self.connection.close()

    async def run(self) -> None:
        """Run the app, and end what it leaves open."""
        connection = self.connection
        listener = connection.listener
        listener.admission.unstarted = 0
        try:
            if self.refusal is None:
                await listener.app(self.scope, self.receive, self.send, self)
            else:
                await listener.refused(self.scope, self.send, self, self.refusal)
        except (asyncio.CancelledError, ClientGoneError):
            pass  # ended by whoever answers in its place, or closes the connection
        except BaseException:  # noqa: BLE001 - whatever the app let through
            _log.exception("a request could not be answered")
            if not self.started and not self.lost:
                await listener.refused(self.scope, self.send, self, _FAILED)
        finally:
            listener.cycles.discard(self)
            self.task = None  # whose context has the request, which has this: no circle for the collector
            if not self.complete and not self.lost:
                self._end_unanswered()

    def _end_unanswered(self) -> None:
        """End a response that the app has left unfinished: cut short for all to see, unless it was told to end."""
        connection = self.connection
        self.keep_alive = False
        if self.released and self.chunked and not connection.listener.cutting_off:
            connection.write(b"0\r\n\r\n")
        elif self.started and not (self.released or self.chunked or self.bodiless) and self.left is None:
            connection.transport.abort()  # an end in order would look like the body's
            return
        self.complete = True
        connection.answered(self)

    async def receive(self) -> dict[str, Any]:
        """Give the next part of the body; behind it, that the client has gone, once it has."""
        while True:
            if self.lost or self.complete or self.released:
                return {"type": "http.disconnect"}
            if self.body or not (self.more_body or self.taken):
                return self._take()
            if self.malformed is not None:
                return {"type": "http.disconnect", "refusal": self.malformed}
            connection = self.connection
            if connection.ended:
                return {"type": "http.disconnect"}
            if self.expects and not self.started:
                self.expects = False
                connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if self.waiting is None:
                self.waiting = asyncio.Event()
            self.waiting.clear()
            connection.take_more(self)
            await self.waiting.wait()

    def _take(self) -> dict[str, Any]:
        data = b"".join(self.body or ())
        self.body, self.held = None, 0
        self.taken = not self.more_body
        return {"type": "http.request", "body": data, "more_body": self.more_body}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Send a part of the response.

        Raises:
            ClientGoneError: the client has gone.
            RuntimeError: the message does not belong here, or a response is not what its head promises.
        """
        if self.must_wait:
            await self.caught_up()
        kind = message["type"]
        if kind == "http.response.start":
            self.start(message["status"], message.get("headers", ()))
        elif kind == "http.response.body":
            self.send_body(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"a response is http.response.start and http.response.body, and not {kind}")

    async def caught_up(self) -> None:
        """Wait until the client has read enough, or has gone; the app of a HEAD lets others have their turn."""
        if self.connection.write_paused and not self.lost:
            await self.connection.writable()
        elif self.headed_at:
            await asyncio.sleep(0)

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]], request_id: bytes = b"") -> None:
        """Send the head of the response, at once.

        Args:
            status: a final one.
            headers: as the app gave them.
            request_id: which `X-Request-ID` says, whatever the app says; '' leaves that to the app.

        Raises:
            ClientGoneError: the client has gone.
            RuntimeError: the response has begun already, or a field cannot be sent.
        """
        if self.lost or self.ends_now:
            raise ClientGoneError("the client has gone")
        if self.started:
            raise RuntimeError("the response has begun: http.response.start comes once")
        connection = self.connection
        listener = connection.listener
        if self.keep_alive and (self.expects or connection.ended or listener.ages):
            self.keep_alive = not (self.expects or connection.ends_with_this())
        beginning = listener.beginnings.lines.get(status) or listener.beginnings.of(status)
        head = compose(self, status, headers, beginning, request_id)
        if connection.held:  # an interim response
            connection.flush()
        connection.held = head
        listener.corked.add(connection)
        self.started = True
        self.headers = headers
        if self.to_head:
            self.headed_at = listener.loop.time()
            self.must_wait = True
            self.finish()
        elif listener.refusing and is_event_stream(headers):
            self.release(hurried=False)

    def send_body(self, body: bytes, *, more: bool) -> None:
        """Send a part of the body, at once.

        Raises:
            ClientGoneError: the client has gone.
            RuntimeError: the response has not begun, or is complete, or is not what its head promises.
        """
        if self.lost or (self.ends_now and not self.complete):
            raise ClientGoneError("the client has gone")
        if self.complete or not self.started:
            self._check_behind_the_end(more=more)
            return
        if type(body) is not bytes:
            body = bytes(body)  # another kind may change meanwhile
        if self.chunked:
            self._send_chunk(body, more=more)
        elif not self.bodiless:
            if self.left is not None:
                self.left -= len(body)
                if self.left < 0:
                    raise RuntimeError("the response's body is longer than its Content-Length")
            self.connection.write(body)
        if not more:
            if self.left:
                raise RuntimeError("the response's body is shorter than its Content-Length")
            self.finish()

    def _send_chunk(self, body: bytes, *, more: bool) -> None:
        if body:
            form = b"%x\r\n%b\r\n" if more else b"%x\r\n%b\r\n0\r\n\r\n"
            self.connection.write(form % (len(body), body))
        elif not more:
            self.connection.write(b"0\r\n\r\n")

    def _check_behind_the_end(self, *, more: bool) -> None:
        """Let the app of a HEAD go on to its own end, to which nobody listens; nobody else may send more."""
        if not self.headed_at:
            raise RuntimeError("a response's body comes between its head and its end")
        if not more:
            self.headed_at, self.must_wait = 0.0, False

    def finish(self) -> None:
        """Note that the response is whole."""
        self.complete = True
        connection = self.connection
        if connection.listener.draining:
            self.in_drain = True
        if self.waiting is not None:
            self.waiting.set()
        connection.answered(self)

    # The connection's side.

    def feed(self, body: bytes) -> None:
        """Take in a part of the body."""
        if self.body is None:
            self.body = [body]
        else:
            self.body.append(body)
        self.held += len(body)
        self.expects = False
        self.wake()

    def wake(self) -> None:
        """Let the app see what has changed."""
        if self.waiting is not None:
            self.waiting.set()

    def lose(self) -> None:
        """Note that the connection has gone."""
        self.lost = True
        self.wake()

    def release(self, *, hurried: bool) -> None:
        """Tell the app of an event stream that its client has gone, as the service stops."""
        self.released, self.ends_now = True, self.ends_now or hurried
        self.wake()
