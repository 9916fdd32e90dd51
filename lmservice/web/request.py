"""The one layer around the app: ids, limits, timing, one log line, and `Connection: close` in a drain.

Pure ASGI, one object per request, nothing on the way of a request that can be done once or read later.
Ids follow W3C Trace Context (https://www.w3.org/TR/trace-context/); errors are RFC 9457 problems.
"""

import asyncio
import logging
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Protocol, TypeAlias

from pydantic_core import to_json
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from lmservice import names
from lmservice.lifecycle import Lifecycle
from lmservice.settings.model import Settings
from lmservice.telemetry import context
from lmservice.telemetry.labels import METHODS, OTHER
from lmservice.telemetry.logs import Stream
from lmservice.telemetry.metrics import Metrics, Samples
from lmservice.web.access_log import AccessLog, Parts
from lmservice.web.routes import RouteTemplates

RETRY_AFTER = b"1"
"""What a refused client is asked to wait, in seconds."""

_REQUEST_ID = rb"[A-Za-z0-9._:/+=@-]{1,128}"
_TRACEPARENT = (  # only a version to come may be longer
    rb"(?!ff)(?!00.{53}-)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_ID_LENGTH = len(b"x-request-id")
_NOT_ZERO = 1 << 128 | 1  # an id of zeros is none
_KNOWN_FLAGS = 0b11  # sampled, and random-trace-id
_CLIENT_CLOSED = 499  # nginx's word for a client that did not wait

_log = logging.getLogger("lmservice.request")


class Connection(Protocol):
    """What the layer asks of the connection that a request came on."""

    @property
    def next_request_waits(self) -> bool:
        """Whether a further request has come behind this one."""

    @property
    def gone(self) -> bool:
        """Whether the client has left."""

    def end(self) -> None:
        """Closes it, once what has been written is sent."""


class RequestSpan(Protocol):
    """The span around a request, where somebody collects spans."""

    trace_id: str
    span_id: str
    flags: str

    def fail(self, error: BaseException) -> None:
        """Notes the exception that ended the request."""

    def end(self, method: str, route: str, status: int) -> None:
        """Ends it, by what the request was answered with."""


class AnsweredRequests(Protocol):
    """What is told of each request that has been answered, while somebody watches."""

    def add(self, request: "Exchange", route: str, seconds: float) -> None:
        """Take note of a request, which took `seconds`."""


class RequestTracer(Protocol):
    """What makes those spans."""

    def begin(self, request: "Identified") -> None:
        """Begins the span of a request or handshake, and gives it to `take_span`."""


class Identified:
    """The ids of a request or a handshake, as its context tells them (`context.UnderWay`)."""

    __slots__ = ("parent", "request_id", "scope", "span", "span_id", "trace_id")

    def __init__(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        self.scope = scope
        self.request_id, self.trace_id, self.span_id, self.parent = _ids(headers, scope)
        self.span: RequestSpan | None = None
        scope["state"]["request_id"] = self.request_id
        context.request.set(self)

    def take_span(self, span: RequestSpan) -> None:
        """Takes over the ids of the span that has begun around it."""
        if self.request_id == self.trace_id:
            self.scope["state"]["request_id"] = self.request_id = span.trace_id
        self.trace_id, self.span_id, self.span = span.trace_id, span.span_id, span

    @property
    def trace_flags(self) -> str:
        """The caller's, of which those that W3C Trace Context defines are passed on; `01` of a trace begun here."""
        if self.span is not None:
            return self.span.flags
        return f"{int(self.parent[3], 16) & _KNOWN_FLAGS:02x}" if self.parent else "01"

    @property
    def trace_state(self) -> str:
        """The header `tracestate`, whose several lines count as one list."""
        if self.parent is None:
            return ""
        return ",".join(value.decode("latin-1") for name, value in self.scope["headers"] if name == b"tracestate")

    @property
    def deadline(self) -> float | None:
        """Nothing bounds it."""
        return None


class Exchange(Identified):
    """One request under way and what has been answered so far."""

    __slots__ = (
        "_layer", "_send", "connection", "cut_off", "finished", "method", "path", "refused", "refusing", "started",
        "status", "task",
    )  # fmt: skip

    def __init__(
        self,
        layer: "RequestLayer",
        scope: Scope,
        headers: Mapping[bytes, bytes],
        send: Send,
        connection: Connection | None,
    ) -> None:
        super().__init__(scope, headers)
        self._layer = layer
        self._send = send
        self.connection = connection
        method = scope["method"]
        self.method = method if method in METHODS else OTHER
        self.path = scope["path"]
        self.started = time.monotonic()
        self.status = 0
        self.finished = self.refused = self.cut_off = False
        self.task = asyncio.current_task()
        self.refusing: asyncio.Task[None] | None = None

    @property
    def deadline(self) -> float | None:
        """By when the answer must begin, in seconds of `time.monotonic`; None once it has, or without a limit."""
        timeout = self._layer.timeout
        return self.started + timeout if timeout and not self.status else None

    async def answer(self, message: Message) -> None:
        """Passes the app's answer on, unless the request has been refused meanwhile."""
        if self.refused:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            try:
                await self._send({**message, "headers": self._headers(message.get("headers", ()))})
            except BaseException:
                self.status = 500  # none of it has left
                raise
            return
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body") and not self.finished:
            self._layer.finish(self)

    async def refuse(self, status: HTTPStatus, detail: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Answers with a problem, where nothing has been answered yet; the app's own answer comes too late."""
        if self.status:
            return
        self.refused = True
        self.status = int(status)
        body = problem(status, detail, self.request_id)
        length = (b"content-length", str(len(body)).encode())
        start = self._headers([(b"content-type", b"application/problem+json"), length, *headers])
        await self._send({"type": "http.response.start", "status": self.status, "headers": start})
        await self._send({"type": "http.response.body", "body": body})
        if not self.finished:
            self._layer.finish(self)

    def _headers(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        mine = (b"x-request-id", self.request_id.encode())
        ours = [each for each in headers if len(each[0]) != _ID_LENGTH or each[0].lower() != b"x-request-id"]
        ours.append(mine)
        if self._layer.lifecycle.cause is None or self.connection is None:
            return ours
        if not self.connection.next_request_waits:
            ours = [each for each in ours if each[0].lower() != b"connection"]
            ours.append((b"connection", b"close"))
        return ours


def problem(status: int, detail: str, request_id: str) -> bytes:
    """A problem document (RFC 9457) with the member `request_id`."""
    title = _PHRASES.get(status, "Error")
    return to_json(
        {"type": "about:blank", "title": title, "status": int(status), "detail": detail, "request_id": request_id}
    )


_Found: TypeAlias = tuple[str, str, str, re.Match[bytes] | None]


def _ids(headers: Mapping[bytes, bytes], scope: Scope) -> _Found:
    """The request's id as the client gave it, or one made, which is that of the trace begun; a span; the parent."""
    drawn = f"{random.getrandbits(192) | _NOT_ZERO:048x}"
    request_id = trace_id = drawn[16:]
    parent = None
    if b"traceparent" in headers and (parent := _parent(headers, scope)):
        trace_id = parent[1].decode()
    given = headers.get(b"x-request-id")
    if given is not None and re.fullmatch(_REQUEST_ID, given):
        request_id = given.decode()
    return request_id, trace_id, drawn[:16], parent


def _parent(headers: Mapping[bytes, bytes], scope: Scope) -> re.Match[bytes] | None:
    once = [name for name, _ in scope["headers"]].count(b"traceparent") == 1
    return re.fullmatch(_TRACEPARENT, headers[b"traceparent"]) if once else None


class RequestLayer:
    """Wraps `app`; holds the requests in flight, for the drain, the limits and the metrics."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        lifecycle: Lifecycle,
        metrics: Metrics,
        templates: RouteTemplates,
        stream: Stream,
        tracer: RequestTracer | None = None,
    ) -> None:
        self.app = app
        self._tracer = tracer
        self.lifecycle = lifecycle
        self.in_flight: set[Exchange] = set()
        self.drained: Counter[str] = Counter()
        self._sending: set[asyncio.Task[None]] = set()
        self.cut: Counter[str] = Counter()
        self._limit = settings.max_concurrency
        self._max_body = int(settings.max_body_size)
        self.timeout = settings.request_timeout
        self._access = AccessLog(stream) if settings.access_log else None
        self._templates = templates
        self._histogram = metrics.request_duration
        self._observers: dict[tuple[str, str, int], tuple[Callable[[float, str], None], Parts]] = {}
        self.slowest: AnsweredRequests | None = None
        """Gets each request, while somebody watches."""
        self.rejected = Counter(dict.fromkeys(("concurrency", "body_size", "timeout"), 0))
        metrics.observed(
            names.REQUESTS_REJECTED,
            "Requests refused by a limit, by its name.",
            ("reason",),
            lambda: [((reason,), float(count)) for reason, count in self.rejected.items()],
            kind="counter",
        )
        metrics.observed(names.ACTIVE_REQUESTS, "Requests in flight.", ("http_request_method",), self._active_requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send, connection: Connection | None = None) -> None:
        """Serves one request, with everything that every request gets."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        headers = dict(scope["headers"])
        exchange = Exchange(self, scope, headers, send, connection)
        if self._tracer is not None:
            self._tracer.begin(exchange)
        try:
            if len(self.in_flight) >= self._limit:
                await self._refuse_for_concurrency(exchange)
                return
            self.in_flight.add(exchange)
            if b"transfer-encoding" in headers:
                await self.app(scope, self._counted(exchange, receive), exchange.answer)
            elif b"content-length" in headers and int(headers[b"content-length"]) > self._max_body:
                await self._refuse_body(exchange)
            else:
                await self.app(scope, receive, exchange.answer)
            if not exchange.status:
                self._must_have_left(exchange)
        except asyncio.CancelledError as error:
            await self._cancelled(exchange, error)
        except BaseException as error:  # noqa: BLE001 - whatever the app let through, a library's SystemExit too
            await self._failed(exchange, error)
        finally:
            exchange.task = None  # which has a context, which has the exchange: no circle for the collector
            if not exchange.finished:
                self.finish(exchange)

    async def _refuse_for_concurrency(self, exchange: Exchange) -> None:
        self.rejected["concurrency"] += 1
        await exchange.refuse(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"{self._limit} requests are in flight, as many as LM_MAX_CONCURRENCY allows: try again later",
            [(b"retry-after", RETRY_AFTER)],
        )

    def _counted(self, exchange: Exchange, receive: Receive) -> Receive:
        """Counts a body that does not declare its size, as it is read."""
        size, refused = 0, False

        async def counted() -> Message:
            nonlocal size, refused
            message = await receive()
            size += len(message.get("body", b""))
            if size <= self._max_body:
                return message
            if not refused:
                refused = True
                await self._refuse_body(exchange)
            return {"type": "http.disconnect"}

        return counted

    async def _refuse_body(self, exchange: Exchange) -> None:
        self.rejected["body_size"] += 1
        await exchange.refuse(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body is larger than LM_MAX_BODY_SIZE allows: {self._max_body} bytes",
            [(b"connection", b"close")],
        )

    def _must_have_left(self, exchange: Exchange) -> None:
        if exchange.connection is None or not exchange.connection.gone:
            raise RuntimeError("the app returned without an answer")

    async def _cancelled(self, exchange: Exchange, error: asyncio.CancelledError) -> None:
        """A request that was ended from outside is answered there; one whose app gave up by itself is not."""
        if exchange.task is None or not exchange.task.cancelling():
            await self._failed(exchange, error)
            return
        if exchange.refusing is None:
            raise error
        exchange.task.uncancel()
        await asyncio.wait([exchange.refusing])

    async def _failed(self, exchange: Exchange, error: BaseException) -> None:
        if exchange.refused:
            return  # what it says after that is only the consequence
        if isinstance(error, ClientDisconnect):
            exchange.status = exchange.status or _CLIENT_CLOSED
            return
        values = {"path": exchange.path, "method": exchange.scope["method"]}
        _log.error("http.error", exc_info=error, extra=values)
        if exchange.span is not None:
            exchange.span.fail(error)
        if exchange.status and not exchange.finished and exchange.connection is not None:
            exchange.connection.end()  # h11 would keep one open on which an answer is cut short
        await exchange.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed to answer")

    def finish(self, exchange: Exchange) -> None:
        """Counts, times and logs a request, whose last byte has been handed on or will never be; to be called once."""
        exchange.finished = True
        seconds = time.monotonic() - exchange.started
        self.in_flight.discard(exchange)
        scope = exchange.scope
        route = self._templates.of(scope)
        key = exchange.method, route, exchange.status or _CLIENT_CLOSED
        observe, parts = self._observers.get(key) or self._observer(key)
        observe(seconds, exchange.trace_id)
        if self.slowest is not None:
            self.slowest.add(exchange, route, seconds)
        if exchange.span is not None:
            exchange.span.end(exchange.method, route, key[2])
        if self.lifecycle.cause is not None:
            (self.cut if exchange.cut_off else self.drained)[route] += 1
        if self._access is not None:
            if exchange.method == OTHER:
                parts = Parts(scope["method"], route, parts.status)
            self._access.write(exchange, parts, exchange.path, seconds)

    def _observer(self, key: tuple[str, str, int]) -> tuple[Callable[[float, str], None], Parts]:
        method, route, status = key
        child = self._histogram.child(method, route, str(status))
        return self._observers.setdefault(key, (child.observe, Parts(*key)))

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Gives a WebSocket its ids and its line; it is no request for the limits and the histogram."""
        handshake = _Handshake(scope, send)
        if self._tracer is not None:
            self._tracer.begin(handshake)
        started, path = time.monotonic(), scope["path"]
        try:
            await self.app(scope, handshake.heard(receive), handshake.answer)
            handshake.must_have_answered()
        except asyncio.CancelledError:
            raise
        except WebSocketDisconnect:
            pass  # the client has left, which is no failure
        except BaseException as error:  # noqa: BLE001 - whatever the app let through
            _log.error("http.error", exc_info=error, extra={"path": path, "method": "GET"})
            if handshake.span is not None:
                handshake.span.fail(error)
            await handshake.fail()
        finally:
            route = self._templates.of(scope)
            if handshake.span is not None:
                handshake.span.end("GET", route, handshake.status)
            if self._access is not None:
                parts = Parts("GET", route, handshake.status)
                self._access.write(handshake, parts, path, time.monotonic() - started)

    def end_overdue(self) -> None:
        """Ends the requests whose answer has not begun in time. To be called every half second or so."""
        if not self.timeout:
            return
        overdue = time.monotonic() - self.timeout
        for exchange in list(self.in_flight):
            if exchange.started < overdue and not exchange.status:
                self.rejected["timeout"] += 1
                said = f"no answer within LM_REQUEST_TIMEOUT, {self.timeout:g} s"
                self._end(exchange, exchange.refuse(HTTPStatus.GATEWAY_TIMEOUT, said))

    def cut_off(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """Ends what is still in flight, and the other tasks that run the app, at the end of the drain."""
        again = [(b"retry-after", RETRY_AFTER), (b"connection", b"close")]
        known = {exchange.task for exchange in self.in_flight}
        for exchange in list(self.in_flight):
            exchange.cut_off = True
            said = "the service stopped before it could answer"
            self._end(exchange, exchange.refuse(HTTPStatus.SERVICE_UNAVAILABLE, said, again))
        for task in set(tasks) - known:
            if not task.done():
                task.cancel()
                self.cut["(background)"] += 1

    def _end(self, exchange: Exchange, refusal: Coroutine[Any, Any, None]) -> None:
        """Answers in the place of a handler, which is cancelled; whether it heeds that makes no difference."""
        exchange.refusing = asyncio.create_task(refusal)
        self._sending.add(exchange.refusing)
        exchange.refusing.add_done_callback(self._sending.discard)
        if exchange.task is not None:
            exchange.task.cancel()

    def waiting(self) -> list[dict[str, Any]]:
        """The requests in flight, the oldest first; may be called from any thread."""
        now = time.monotonic()
        return [
            {
                "seconds": round(now - each.started, 3),
                "method": each.method,
                "route": self._templates.of(each.scope),
                "answering": bool(each.status),
                "path": each.path,
                "request_id": each.request_id,
            }
            for each in sorted(self.in_flight, key=lambda each: each.started)
        ]

    def _active_requests(self) -> Samples:
        methods = Counter(exchange.method for exchange in list(self.in_flight))
        return [((method,), float(methods[method])) for method in sorted({"GET", *methods})]


class _Handshake(Identified):
    """How a WebSocket's request was answered: 101, or what refused it."""

    def __init__(self, scope: Scope, send: Send) -> None:
        super().__init__(scope, dict(scope["headers"]))
        self.status = 101
        self._can_answer = "websocket.http.response" in scope.get("extensions", {})
        self._answered = self._gone = False
        self._send = send

    async def answer(self, message: Message) -> None:
        """Passes the app's answer on, with the request's id on whatever has headers."""
        kind = message["type"]
        if kind == "websocket.close" and not self._answered and self._can_answer:
            await self._refuse(HTTPStatus.FORBIDDEN, "the service does not accept this WebSocket")
            return
        self._answered = True
        if kind in ("websocket.accept", "websocket.http.response.start"):
            self.status = message.get("status", self.status)
            mine = (b"x-request-id", self.request_id.encode())
            others = [each for each in message.get("headers", ()) if each[0].lower() != b"x-request-id"]
            message = {**message, "headers": [*others, mine]}
        await self._send(message)

    def heard(self, receive: Receive) -> Receive:
        """What the app receives; it may learn by that that there is nobody left to answer."""

        async def heard() -> Message:
            message = await receive()
            self._gone = self._gone or message["type"] == "websocket.disconnect"
            return message

        return heard

    def must_have_answered(self) -> None:
        """Raises where the app has ended, and has neither accepted nor refused."""
        if not self._answered and not self._gone:
            raise RuntimeError("the app returned without an answer")

    async def fail(self) -> None:
        """Answers for an app that failed: 500 before it had accepted, 1011 after."""
        if self._answered or not self._can_answer:
            await self._send({"type": "websocket.close", "code": 1011})
        else:
            await self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed to answer")

    async def _refuse(self, status: HTTPStatus, detail: str) -> None:
        body = problem(status, detail, self.request_id)
        headers = [(b"content-type", b"application/problem+json")]
        await self.answer({"type": "websocket.http.response.start", "status": int(status), "headers": headers})
        await self._send({"type": "websocket.http.response.body", "body": body})
