"""One request under way: what has been answered so far, and who may still answer it.

The app's answer goes through here, and so does the layer's own where it refuses: whichever begins first is sent, the
other comes too late.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope
from starlette.websockets import WebSocketDisconnect

from lmservice.lifecycle import Lifecycle
from lmservice.telemetry.labels import OTHER
from lmservice.web import deadline
from lmservice.web.client_gone import ClientGoneError
from lmservice.web.failure import Document
from lmservice.web.ids import RequestContext
from lmservice.web.problem import MEDIA_TYPE, problem

if TYPE_CHECKING:
    from lmservice.web.admission import Admission

CLIENT_LEFT: Final = 499
"""nginx's status for a client that did not wait."""

_FIRST_ERROR: Final = 400
_ID_LENGTH = len(b"x-request-id")
_PROBLEM_HEADERS = ((b"content-type", MEDIA_TYPE.encode()),)


class Connection(Protocol):
    """What the layer asks of the connection that a request came on."""

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """In which the layer and the app run; None once they have ended."""

    @property
    def next_request_waits(self) -> bool:
        """Whether a further request has come behind this one."""

    @property
    def gone(self) -> bool:
        """Whether the client has left."""

    fields: dict[bytes, bytes]
    """The request's header fields by name, the last of each."""

    arrived: float
    """When the request could begin, in seconds of `time.monotonic`."""
    keep_alive: bool
    """Whether it may take another request after this one; to be set before the response begins."""

    must_wait: bool
    """Whether `caught_up` has to be awaited before more is sent."""

    async def caught_up(self) -> None:
        """Wait until the client has read enough, or has gone."""

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]], request_id: bytes) -> None:
        """Send the head of the response, with the request's id."""

    def send_body(self, body: bytes, *, more: bool) -> None:
        """Send a part of its body."""

    def end(self) -> None:
        """Close it, once what has been written is sent."""


class Layer(Protocol):
    """What a request asks of the layer that it is in."""

    timeout: float
    """Bounds the time until the answer begins, in seconds; 0 is no limit."""
    lifecycle: Lifecycle
    admission: "Admission | None"
    """What is told of each answer that begins, where what can be served is measured."""
    methods: frozenset[str]
    """The methods that metrics tell by name."""

    def finish(self, exchange: "Exchange") -> None:
        """Count, time and log a request, whose last byte has been handed on or will never be."""


class Exchange(RequestContext):
    """A request of an HTTP connection.

    Attributes:
        method: as the metrics have it: one that is not known is `_OTHER`.
        path: as it was asked for, without a prefix that a proxy took away.
        started: when it could begin, in seconds of `time.monotonic`; …
        began: … when it did.
        route: the template of its route, once its answer has begun, where that is measured.
        status: of the answer; 0 before it has begun.
        finished: whether it has been counted.
        refused: whether the layer has answered, in the app's place.
        refusing: the task in which it does so, where the app was ended from outside.
        cut_off: whether the end of the drain has ended it.
        told_gone: whether the app has been told that its client has left.
        expires: where its caller waits less than the service would let it take: when that is over, in seconds of
            `time.monotonic`.
        expiry: the timer that ends it then.
    """

    status = 0
    finished = refused = cut_off = told_gone = False
    refusing: asyncio.Task[None] | None = None
    route: str | None = None
    expires: float | None = None
    expiry: asyncio.TimerHandle | None = None

    def __init__(
        self,
        layer: Layer,
        scope: Scope,
        headers: Mapping[bytes, bytes],
        receive: Receive,
        connection: Connection,
    ) -> None:
        super().__init__(scope, headers)
        self._layer = layer
        self._receive = receive
        self.connection = connection
        method = scope["method"]
        self.method = method if method in layer.methods else OTHER
        self.path = scope["path"]
        self.started = connection.arrived
        self.began = time.monotonic()
        timeout = layer.timeout
        self._ends = self.started + timeout if timeout else None
        if deadline.EXPECTED in headers or deadline.GRPC in headers:
            self._hear(deadline.expected_wait(headers))
        scope["state"]["deadline"] = self._ends

    def _hear(self, wait: float | None) -> None:
        """Shorten the time that is left to what the caller waits."""
        if wait is not None and (self._ends is None or self.started + wait < self._ends):
            self._ends = self.expires = self.started + wait

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task in which the app runs; None once it has ended."""
        return self.connection.task

    @property
    def deadline(self) -> float | None:
        """By when the answer must begin, in seconds of `time.monotonic`; None once it has, or without a limit."""
        return None if self.status else self._ends

    @property
    def left(self) -> bool:
        """Whether the client has left and the app knows it, so that a failure is only the consequence."""
        return self.told_gone and self.connection.gone

    async def receive(self) -> Message:
        """Pass on what the client sends; where its body broke the rules, it is refused first."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.told_gone = True
            if "refusal" in message:
                await self.refuse(message["refusal"].status, message["refusal"].detail, [(b"connection", b"close")])
        return message

    async def answer(self, message: Message) -> None:
        """Pass the app's answer on, unless the request has been refused meanwhile."""
        connection = self.connection
        if connection.must_wait:
            await connection.caught_up()
        if self.refused:
            return
        kind = message["type"]
        if kind == "http.response.body":
            more = message.get("more_body", False)
            connection.send_body(message.get("body", b""), more=more)
            if not more and not self.finished:
                self._layer.finish(self)
        elif kind == "http.response.start":
            self._start(message["status"], message.get("headers", ()))
        else:
            raise RuntimeError(f"a response is http.response.start and http.response.body, and not {kind}")

    def answer_whole(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
        """Pass on an answer all of which is known; return whether it could be done without waiting."""
        connection = self.connection
        if connection.must_wait:
            return False
        if not self.refused:
            self._start(status, headers)
            connection.send_body(body, more=False)
            if not self.finished:
                self._layer.finish(self)
        return True

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Send the head of the app's answer."""
        self.status = CLIENT_LEFT if status >= _FIRST_ERROR and self.left else status
        if self._layer.admission is not None:
            self.route = self._layer.admission.observe(self)
        try:
            self._send_head(status, headers)
        except ClientGoneError:
            self.status = 0  # nobody has heard it
            raise
        except BaseException:
            self.status = 500  # none of it has left
            raise
        if self.method == "HEAD" and not self.finished:
            self._layer.finish(self)  # the answer to HEAD ends with its head

    def _send_head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Send the head with the request's id, and with `Connection: close` in a drain."""
        connection = self.connection
        if self._layer.lifecycle.cause is not None and not connection.next_request_waits:
            connection.keep_alive = False
        connection.start(status, headers, self.request_id.encode())

    async def refuse(
        self,
        status: HTTPStatus,
        detail: str,
        headers: Iterable[tuple[bytes, bytes]] = (),
        document: Document | None = None,
    ) -> None:
        """Answer with a problem, where nothing has been answered yet; the app's own answer comes too late.

        Args:
            status: the answer's.
            detail: what went wrong, for the person at the other end.
            headers: what it has beside those of its body.
            document: the answer's body, in the problem's place.
        """
        if self.status:
            return
        self.refused = True
        self.status = int(status)
        of_body, body = document or (_PROBLEM_HEADERS, problem(status, detail, self.request_id))
        length = (b"content-length", str(len(body)).encode())
        if self.connection.must_wait:
            await self.connection.caught_up()
        self._send_head(self.status, [*of_body, length, *headers])
        self.connection.send_body(body, more=False)
        if not self.finished:
            self._layer.finish(self)


def means_gone(error: BaseException) -> bool:
    """Return whether an exception says nothing but that the client has left, be it one or a group of them."""
    if isinstance(error, BaseExceptionGroup):
        return all(means_gone(inner) for inner in error.exceptions)
    return isinstance(error, ClientDisconnect | ClientGoneError | WebSocketDisconnect)
