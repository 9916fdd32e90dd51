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
from collections.abc import Callable, Coroutine, Iterable
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

from pydantic_core import to_json
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lmservice import context
from lmservice.labels import METHODS, OTHER
from lmservice.lifecycle import Lifecycle
from lmservice.logs import Stream
from lmservice.metrics import Metrics, Samples
from lmservice.routes import RouteTemplates
from lmservice.settings import Settings

RETRY_AFTER = b"1"
"""What a refused client is asked to wait, in seconds."""

_REQUEST_ID = rb"[A-Za-z0-9._:/+=@-]{1,128}"
_TRACEPARENT = (  # only a version to come may be longer
    rb"(?!ff)(?!00.{53}-)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_CLIENT_CLOSED = 499  # nginx's word for a client that did not wait

_log = logging.getLogger("lmservice.request")
_access = logging.getLogger("lmservice.access")


class Connection(Protocol):
    """What the layer asks of the connection that a request came on."""

    @property
    def next_request_waits(self) -> bool:
        """Whether a further request has come behind this one."""

    @property
    def gone(self) -> bool:
        """Whether the client has left."""


class Exchange:
    """One request under way and what has been answered so far."""

    __slots__ = (
        "_send", "connection", "cut_off", "finished", "headers", "layer", "method", "path", "refused", "request_id",
        "scope", "span_id", "started", "status", "task", "trace_flags", "trace_id", "trace_state",
    )  # fmt: skip

    def __init__(self, layer: "RequestLayer", scope: Scope, send: Send, connection: Connection | None) -> None:
        self.layer = layer
        self.scope = scope
        self._send = send
        self.connection = connection
        self.method = scope["method"] if scope["method"] in METHODS else OTHER
        self.path = scope["path"]
        self.started = time.monotonic()
        self.status = 0
        self.finished = self.refused = self.cut_off = False
        self.task: asyncio.Task[Any] | None = asyncio.current_task()
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        ids = _ids(self.headers, scope)
        self.request_id, self.trace_id, self.span_id, self.trace_flags, self.trace_state = ids
        context.request.set(self)
        scope["state"]["request_id"] = self.request_id

    @property
    def deadline(self) -> float | None:
        """By when the answer must begin, in seconds of `time.monotonic`; None once it has, or without a limit."""
        timeout = self.layer.timeout
        return self.started + timeout if timeout and not self.status else None

    async def answer(self, message: Message) -> None:
        """Passes the app's answer on, unless the request has been refused meanwhile."""
        if not self.refused:
            await self._pass_on(message)

    async def refuse(self, status: HTTPStatus, detail: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Answers with a problem, where nothing has been answered yet; the app's own answer comes too late."""
        if self.status:
            return
        self.refused = True
        body = problem(status, detail, self.request_id)
        length = (b"content-length", str(len(body)).encode())
        start = [(b"content-type", b"application/problem+json"), length, *headers]
        await self._pass_on({"type": "http.response.start", "status": int(status), "headers": start})
        await self._pass_on({"type": "http.response.body", "body": body})

    async def _pass_on(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": self._headers(message.get("headers", ()))}
        await self._send(message)
        if kind == "http.response.body" and not message.get("more_body", False):
            self.finish()

    def _headers(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        ours = [each for each in headers if each[0].lower() != b"x-request-id"]
        ours.append((b"x-request-id", self.request_id.encode()))
        if self.layer.lifecycle.cause is None or self.connection is None:
            return ours
        if not self.connection.next_request_waits:
            ours = [each for each in ours if each[0].lower() != b"connection"]
            ours.append((b"connection", b"close"))
        return ours

    def finish(self) -> None:
        """Counts, times and logs the exchange, once."""
        if not self.finished:
            self.finished = True
            self.layer.finished(self, time.monotonic() - self.started)


def problem(status: int, detail: str, request_id: str) -> bytes:
    """A problem document (RFC 9457) with the member `request_id`."""
    title = _PHRASES.get(status, "Error")
    return to_json(
        {"type": "about:blank", "title": title, "status": int(status), "detail": detail, "request_id": request_id}
    )


class _Ids(NamedTuple):
    request_id: str
    trace_id: str
    span_id: str
    trace_flags: str
    trace_state: str

    @property
    def deadline(self) -> None:
        """Nothing bounds a WebSocket."""


def _ids(headers: dict[bytes, bytes], scope: Scope) -> _Ids:
    """The request's id as the client gave it, or the trace's; the trace continued, or begun; a span of its own."""
    parent = None
    if b"traceparent" in headers and [name for name, _ in scope["headers"]].count(b"traceparent") == 1:
        parent = re.fullmatch(_TRACEPARENT, headers[b"traceparent"])
    trace_id = parent[1].decode() if parent else f"{random.getrandbits(128) or 1:032x}"
    given = headers.get(b"x-request-id")
    request_id = given.decode() if given is not None and re.fullmatch(_REQUEST_ID, given) else trace_id
    flags, state = (parent[3].decode(), _trace_state(scope)) if parent else ("01", "")
    return _Ids(request_id, trace_id, f"{random.getrandbits(64) or 1:016x}", flags, state)


def _trace_state(scope: Scope) -> str:
    """The header `tracestate`, whose several lines count as one list."""
    return ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"tracestate")


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
    ) -> None:
        self.app = app
        self.lifecycle = lifecycle
        self.in_flight: set[Exchange] = set()
        self.drained: Counter[str] = Counter()
        self._sending: set[asyncio.Task[None]] = set()
        self.cut: Counter[str] = Counter()
        self._limit = settings.max_concurrency
        self._max_body = int(settings.max_body_size)
        self.timeout = settings.request_timeout
        self._access_log = settings.access_log
        self._templates = templates
        self._histogram = metrics.request_duration
        self._observers: dict[tuple[str, str, int], Callable[[float], None]] = {}
        self._stream = stream
        self.rejected = Counter(dict.fromkeys(("concurrency", "body_size", "timeout"), 0))
        metrics.observed(
            "lmservice_requests_rejected_total",
            "Requests refused by a limit, by its name.",
            ("reason",),
            lambda: [((reason,), float(count)) for reason, count in self.rejected.items()],
            kind="counter",
        )
        metrics.observed(
            "http_server_active_requests", "Requests in flight.", ("http_request_method",), self._active_requests
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send, connection: Connection | None = None) -> None:
        """Serves one request, with everything that every request gets."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        exchange = Exchange(self, scope, send, connection)
        if len(self.in_flight) >= self._limit:
            await self._refuse_for_concurrency(exchange)
            return
        self.in_flight.add(exchange)
        try:
            if self._declares_too_much(exchange):
                await self._refuse_body(exchange)
            else:
                await self.app(scope, self._counted(exchange, receive), exchange.answer)
                self._must_have_answered(exchange)
        except asyncio.CancelledError as error:
            await self._cancelled(exchange, error)
        except Exception as error:  # noqa: BLE001 - whatever the app let through
            await self._failed(exchange, error)
        finally:
            self.in_flight.discard(exchange)
            exchange.finish()

    async def _refuse_for_concurrency(self, exchange: Exchange) -> None:
        self.rejected["concurrency"] += 1
        await exchange.refuse(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"{self._limit} requests are in flight, as many as LM_MAX_CONCURRENCY allows: try again later",
            [(b"retry-after", RETRY_AFTER)],
        )

    def _declares_too_much(self, exchange: Exchange) -> bool:
        declared = exchange.headers.get(b"content-length", b"0")
        return b"transfer-encoding" not in exchange.headers and int(declared) > self._max_body

    def _counted(self, exchange: Exchange, receive: Receive) -> Receive:
        """Counts a body that does not declare its size, as it is read."""
        if b"transfer-encoding" not in exchange.headers:
            return receive
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size <= self._max_body:
                return message
            if not exchange.refused:
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

    def _must_have_answered(self, exchange: Exchange) -> None:
        gone = exchange.connection is not None and exchange.connection.gone
        if not exchange.status and not gone:
            raise RuntimeError("the app returned without an answer")

    async def _cancelled(self, exchange: Exchange, error: asyncio.CancelledError) -> None:
        """A request that was ended from outside has been answered; one whose app gave up by itself has not."""
        if exchange.task is not None and exchange.task.cancelling():
            if not exchange.refused and not exchange.cut_off:
                raise error
            exchange.task.uncancel()
        else:
            await self._failed(exchange, error)

    async def _failed(self, exchange: Exchange, error: BaseException) -> None:
        if exchange.refused:
            return  # what it says after that is only the consequence
        if isinstance(error, ClientDisconnect) and not exchange.status:
            exchange.status = _CLIENT_CLOSED
            return
        values = {"path": exchange.path, "method": exchange.scope["method"]}
        _log.error("http.error", exc_info=error, extra=values)
        await exchange.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed to answer")

    def finished(self, exchange: Exchange, seconds: float) -> None:
        """Called once for each request, when its last byte has been handed on or will never be."""
        self.in_flight.discard(exchange)
        status = exchange.status or _CLIENT_CLOSED
        route = self._templates.of(exchange.scope)
        key = exchange.method, route, status
        observe = self._observers.get(key)
        if observe is None:
            observe = self._observers[key] = self._histogram.child(exchange.method, route, str(status)).observe
        observe(seconds)
        if self.lifecycle.cause is not None:
            (self.cut if exchange.cut_off else self.drained)[route] += 1
        self._write_line(exchange, exchange.scope, route, status, seconds)

    def _write_line(self, ids: context.UnderWay, scope: Scope, route: str, status: int, seconds: float) -> None:
        if self._access_log and _access.isEnabledFor(logging.INFO):
            method, duration = scope.get("method", "GET"), round(seconds, 6)
            path = scope["path"]
            values = {"method": method, "route": route, "path": path, "status": status, "duration": duration}
            values |= {"request_id": ids.request_id, "trace_id": ids.trace_id, "span_id": ids.span_id}
            self._stream.write("info", "lmservice.access", "http.request", values)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Gives a WebSocket its ids and its line; it is no request for the limits and the histogram."""
        handshake = _Handshake(scope, send)
        started = time.monotonic()
        try:
            await self.app(scope, receive, handshake.answer)
        except Exception as error:  # noqa: BLE001 - whatever the app let through
            _log.error("http.error", exc_info=error, extra={"path": scope["path"], "method": "GET"})
            await handshake.fail()
        finally:
            route, seconds = self._templates.of(scope), time.monotonic() - started
            self._write_line(handshake.ids, scope, route, handshake.status, seconds)

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
        sending = asyncio.create_task(refusal)
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        if exchange.task is not None:
            exchange.task.cancel()

    def _active_requests(self) -> Samples:
        methods = Counter(exchange.method for exchange in list(self.in_flight))
        return [((method,), float(methods[method])) for method in sorted({"GET", *methods})]


class _Handshake:
    """How a WebSocket's request was answered: 101, or what refused it."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.status = 101
        self.ids = _ids(dict(scope["headers"]), scope)
        context.request.set(self.ids)
        scope["state"]["request_id"] = self.ids.request_id
        self._can_answer = "websocket.http.response" in scope.get("extensions", {})
        self._answered = False
        self._send = send

    async def answer(self, message: Message) -> None:
        """Passes the app's answer on, with the request's id on whatever has headers."""
        kind = message["type"]
        if kind == "websocket.close" and not self._answered and self._can_answer:
            await self._refuse(HTTPStatus.FORBIDDEN, "the service does not accept this WebSocket")
            return
        if kind in ("websocket.accept", "websocket.http.response.start"):
            self._answered = True
            self.status = message.get("status", self.status)
            mine = (b"x-request-id", self.ids.request_id.encode())
            others = [each for each in message.get("headers", ()) if each[0].lower() != b"x-request-id"]
            message = {**message, "headers": [*others, mine]}
        await self._send(message)

    async def fail(self) -> None:
        """Answers for an app that failed: 500 before it had accepted, 1011 after."""
        if self._answered or not self._can_answer:
            await self._send({"type": "websocket.close", "code": 1011})
        else:
            await self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed to answer")

    async def _refuse(self, status: HTTPStatus, detail: str) -> None:
        body = problem(status, detail, self.ids.request_id)
        headers = [(b"content-type", b"application/problem+json")]
        await self.answer({"type": "websocket.http.response.start", "status": int(status), "headers": headers})
        await self._send({"type": "websocket.http.response.body", "body": body})
