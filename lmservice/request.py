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
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Protocol

from pydantic_core import to_json
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lmservice.lifecycle import Lifecycle
from lmservice.logs import Stream, request_fields
from lmservice.metrics import Metrics, Samples
from lmservice.routes import RouteTemplates
from lmservice.settings import Settings

RETRY_AFTER = b"1"
"""What a refused client is asked to wait, in seconds."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_CLIENT_CLOSED = 499  # nginx's word for a client that did not wait

_log = logging.getLogger("lmservice.request")
_access = logging.getLogger("lmservice.access")


class Connection(Protocol):
    """What the layer asks of the connection that a request came on."""

    @property
    def next_request_waits(self) -> bool:
        """Whether a further request has come behind this one."""


class Exchange:
    """One request under way and what has been answered so far."""

    __slots__ = (
        "connection", "cut_off", "fields", "finished", "headers", "layer", "method", "path", "scope", "send_on",
        "started", "status", "task", "timed_out",
    )  # fmt: skip

    def __init__(self, layer: "RequestLayer", scope: Scope, send: Send, connection: Connection | None) -> None:
        self.layer = layer
        self.scope = scope
        self.send_on = send
        self.connection = connection
        self.method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        self.path = scope["path"]
        self.started = time.perf_counter()
        self.status = 0
        self.finished = self.timed_out = self.cut_off = False
        self.task: asyncio.Task[Any] | None = asyncio.current_task()
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.fields = _ids(self.headers)
        request_fields.set(self.fields)
        scope["state"]["request_id"] = self.fields["request_id"]

    async def send(self, message: Message) -> None:
        """Passes an answer on, with the headers that are ours."""
        kind = message["type"]
        if kind == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": self._headers(message.get("headers", ()))}
        await self.send_on(message)
        if kind == "http.response.body" and not message.get("more_body", False):
            self.finish()

    def _headers(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        ours = [each for each in headers if each[0].lower() != b"x-request-id"]
        ours.append((b"x-request-id", self.fields["request_id"].encode()))
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
            self.layer.finished(self, time.perf_counter() - self.started)

    async def refuse(self, status: HTTPStatus, detail: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Answers with a problem, where nothing has been answered yet."""
        if self.status:
            return
        body = problem(status, detail, self.fields["request_id"])
        length = (b"content-length", str(len(body)).encode())
        start = [(b"content-type", b"application/problem+json"), length, *headers]
        await self.send({"type": "http.response.start", "status": int(status), "headers": start})
        await self.send({"type": "http.response.body", "body": body})


def problem(status: int, detail: str, request_id: str) -> bytes:
    """A problem document (RFC 9457) with the member `request_id`."""
    title = _PHRASES.get(status, "Error")
    return to_json(
        {"type": "about:blank", "title": title, "status": int(status), "detail": detail, "request_id": request_id}
    )


def _ids(headers: dict[bytes, bytes]) -> dict[str, str]:
    """The request's id as the client gave it, or the trace's; the trace continued, or begun; a span of its own."""
    parent = _TRACEPARENT.fullmatch(headers.get(b"traceparent", b""))
    trace_id = parent[1].decode() if parent else f"{random.getrandbits(128) or 1:032x}"
    given = headers.get(b"x-request-id", b"")
    request_id = given.decode() if _REQUEST_ID.fullmatch(given) else trace_id
    return {"request_id": request_id, "trace_id": trace_id, "span_id": f"{random.getrandbits(64) or 1:016x}"}


class _BodyTooLargeError(Exception):
    """The body grew past the limit while it was read."""


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
        self.completed = 0
        self.drained: Counter[str] = Counter()
        self.cut: Counter[str] = Counter()
        self._limit = settings.max_concurrency
        self._max_body = int(settings.max_body_size)
        self._timeout = settings.request_timeout
        self._access_log = settings.access_log
        self._templates = templates
        self._histogram = metrics.request_duration
        self._observers: dict[tuple[str, str, int], Callable[[float], None]] = {}
        self._stream = stream
        self.rejected = Counter(dict.fromkeys(("concurrency", "body_size", "timeout"), 0))
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
            self.rejected["concurrency"] += 1
            await exchange.refuse(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{self._limit} requests are in flight, as many as LM_MAX_CONCURRENCY allows: try again later",
                [(b"retry-after", RETRY_AFTER)],
            )
            return
        self.in_flight.add(exchange)
        try:
            await self.app(scope, self._bounded(exchange, receive), exchange.send)
        except _BodyTooLargeError:
            await self._refuse_body(exchange)
        except ClientDisconnect:
            exchange.status = exchange.status or _CLIENT_CLOSED
        except asyncio.CancelledError:
            await self._cancelled(exchange)
        except Exception as error:  # noqa: BLE001 - whatever the app let through
            await self._failed(exchange, error)
        finally:
            self.in_flight.discard(exchange)
            exchange.finish()

    def _bounded(self, exchange: Exchange, receive: Receive) -> Receive:
        """Counts the body as it is read, where it has one."""
        declared = exchange.headers.get(b"content-length")
        if declared is None and b"transfer-encoding" not in exchange.headers:
            return receive
        limit, size = self._max_body, 0
        if declared is not None and int(declared) > limit:
            raise _BodyTooLargeError

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                raise _BodyTooLargeError
            return message

        return counted if declared is None else receive

    async def _refuse_body(self, exchange: Exchange) -> None:
        self.rejected["body_size"] += 1
        await exchange.refuse(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body is larger than LM_MAX_BODY_SIZE allows: {self._max_body} bytes",
            [(b"connection", b"close")],
        )

    async def _cancelled(self, exchange: Exchange) -> None:
        """Answers for a request that was ended from outside: by its time limit, or by the end of the drain."""
        if exchange.timed_out:
            if exchange.task is not None:
                exchange.task.uncancel()
            self.rejected["timeout"] += 1
            await exchange.refuse(
                HTTPStatus.GATEWAY_TIMEOUT, f"no answer within LM_REQUEST_TIMEOUT, {self._timeout:g} s"
            )
        elif exchange.cut_off:
            if exchange.task is not None:
                exchange.task.uncancel()
            again = [(b"retry-after", RETRY_AFTER), (b"connection", b"close")]
            await exchange.refuse(HTTPStatus.SERVICE_UNAVAILABLE, "the service stopped before it could answer", again)
        else:
            raise asyncio.CancelledError

    async def _failed(self, exchange: Exchange, error: Exception) -> None:
        _log.error("http.error", exc_info=error, extra={"path": exchange.path, "method": exchange.scope["method"]})
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
        self.completed += 1
        if self.lifecycle.cause is not None:
            (self.cut if exchange.cut_off else self.drained)[route] += 1
        self._write_line(exchange.scope["method"], route, exchange.path, status, seconds)

    def _write_line(self, method: str, route: str, path: str, status: int, seconds: float) -> None:
        if self._access_log and _access.isEnabledFor(logging.INFO):
            values = {"method": method, "route": route, "path": path, "status": status, "duration": round(seconds, 6)}
            self._stream.write("info", "lmservice.access", "http.request", values)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Gives a WebSocket its ids and its line; it is no request for the limits and the histogram."""
        fields = _ids(dict(scope["headers"]))
        request_fields.set(fields)
        started, status = time.perf_counter(), 101

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] in ("websocket.accept", "websocket.http.response.start"):
                status = message.get("status", 101)
                mine = (b"x-request-id", fields["request_id"].encode())
                message = {**message, "headers": [*message.get("headers", ()), mine]}
            await send(message)

        try:
            await self.app(scope, receive, answer)
        finally:
            self._write_line("GET", self._templates.of(scope), scope["path"], status, time.perf_counter() - started)

    def end_overdue(self) -> None:
        """Ends the requests whose answer has not begun in time. To be called every half second or so."""
        if not self._timeout:
            return
        overdue = time.perf_counter() - self._timeout
        for exchange in list(self.in_flight):
            if exchange.started < overdue and not exchange.status and not exchange.timed_out and exchange.task:
                exchange.timed_out = True
                exchange.task.cancel()

    def cut_off(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """Ends what is still in flight, and the other tasks that run the app, at the end of the drain."""
        for exchange in list(self.in_flight):
            exchange.cut_off = True
        known = {exchange.task for exchange in self.in_flight}
        for task in tasks:
            if not task.done():
                task.cancel()
                if task not in known:
                    self.cut["(background)"] += 1

    def _active_requests(self) -> Samples:
        methods = Counter(exchange.method for exchange in list(self.in_flight))
        return [((method,), float(methods[method])) for method in sorted({"GET", *methods})]
