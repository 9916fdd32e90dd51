"""The one layer around the app: ids, limits, timing, one log line, and `Connection: close` in a drain.

Pure ASGI, one object per request, nothing on the way of a request that can be done once or read later.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lmservice import names
from lmservice.lifecycle import Lifecycle
from lmservice.settings.model import Settings
from lmservice.telemetry.labels import OTHER, known_methods
from lmservice.telemetry.logs import Stream
from lmservice.telemetry.metrics import Metrics, Samples
from lmservice.web.access_log import AccessLog, Parts
from lmservice.web.cycle import ClientGoneError
from lmservice.web.development import advising
from lmservice.web.exchange import CLIENT_LEFT, Connection, Exchange, means_gone
from lmservice.web.failure import Failures
from lmservice.web.forwarded import Forwarding
from lmservice.web.ids import RequestTracer
from lmservice.web.left_tasks import LeftTask, left_tasks
from lmservice.web.overdue import Overdue
from lmservice.web.parsing import Refusal
from lmservice.web.routes import RouteTemplates
from lmservice.web.starlette import RoutesApp
from lmservice.web.websocket import WebSocketLayer

RETRY_AFTER: Final = b"1"
"""What a refused client is asked to wait, in seconds."""

REASONS: Final = ("concurrency", "overload", "body_size", "timeout", "deadline", "gone", "head_size", "write_timeout")
"""Why a request is refused or ended: what `lmservice_requests_rejected_total` tells apart."""

_log = logging.getLogger("lmservice.request")


class AnsweredRequests(Protocol):
    """What is told of each request that has been answered, while somebody watches."""

    def add(self, request: Exchange, route: str, seconds: float) -> None:
        """Take note of a request, which took `seconds`."""


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
        self.app = advising(app.enter if isinstance(app, RoutesApp) else app, settings, templates)
        self.failures = Failures(templates, explains=settings.environment == "dev")
        self._tracer = tracer
        self.lifecycle = lifecycle
        self.methods = known_methods()
        self.in_flight: set[Exchange] = set()
        self.answered_in_drain: Counter[str] = Counter()
        self.cut_by_route: Counter[str] = Counter()
        self._limit = settings.max_concurrency
        self._max_body = int(settings.max_body_size)
        self.timeout = settings.request_timeout
        self._access_log = AccessLog(stream, clients=settings.log_client) if settings.access_log else None
        self._templates = templates
        self._forwarding = Forwarding(settings)
        self._websockets = WebSocketLayer(app, self._forwarding, templates, self._access_log, tracer)
        self._histogram = metrics.request_duration
        self._observers: dict[tuple[str, str, int], tuple[Callable[[float, str], None], Parts]] = {}
        self.slowest: AnsweredRequests | None = None
        """Gets each request, while somebody watches."""
        self.rejected = Counter(dict.fromkeys(REASONS, 0))
        self.overdue = Overdue(self.in_flight, self.rejected, self.timeout)
        metrics.on_scrape(
            names.REQUESTS_REJECTED,
            "Requests refused by a limit, by its name.",
            ("reason",),
            lambda: [((reason,), float(count)) for reason, count in self.rejected.items()],
            kind="counter",
        )
        metrics.on_scrape(names.ACTIVE_REQUESTS, "Requests in flight.", ("http_request_method",), self._active_requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send, connection: Connection | None = None) -> None:
        """Serve one request, with everything that every request gets."""
        if connection is None:  # a WebSocket's handshake
            await self._websockets(scope, receive, send)
            return
        headers = connection.fields
        exchange = Exchange(self, scope, headers, receive, connection)
        self._forwarding.apply(scope, headers)
        if self._tracer is not None:
            self._tracer.begin(exchange)
        try:
            if (len(self.in_flight) >= self._limit or exchange.expires is not None) and await self._refused(exchange):
                return
            self.in_flight.add(exchange)
            if b"transfer-encoding" in headers:
                await self.app(scope, self._counted(exchange), exchange.answer)
            elif b"content-length" in headers and int(headers[b"content-length"]) > self._max_body:
                await self._refuse_body(exchange)
            else:
                await self.app(scope, exchange.receive, exchange.answer)
            if not exchange.status:
                self._must_have_left(exchange)
        except asyncio.CancelledError as error:
            await self._cancelled(exchange, error)
        except BaseException as error:  # noqa: BLE001 - whatever the app let through, a library's SystemExit too
            await self._failed(exchange, error)
        finally:
            if not exchange.finished:
                self.finish(exchange)

    async def refuse_unread(self, scope: Scope, _send: Send, connection: Connection, refusal: Refusal) -> None:
        """Answer what no request can be made of: nothing has been read of it that an app could use."""
        self.count_rejected(refusal.reason)
        headers = dict(scope["headers"])
        exchange = Exchange(self, scope, headers, _nothing, connection)
        self._forwarding.apply(scope, headers)
        if self._tracer is not None:
            self._tracer.begin(exchange)
        try:
            await exchange.refuse(refusal.status, refusal.detail, [(b"connection", b"close")])
        except ClientGoneError:
            pass
        finally:
            if not exchange.finished:
                self.finish(exchange)

    def count_unsent(self, scope: Scope, *, counted: bool) -> None:
        """Count a request as cut off whose answer was complete, and could not be sent in time.

        Args:
            scope: the request's.
            counted: whether it counts as answered in the drain so far.
        """
        route = self._templates.of(scope)
        self.cut_by_route[route] += 1
        if counted:
            self.answered_in_drain -= Counter({route: 1})

    def count_rejected(self, reason: str) -> None:
        """Count a request that a limit of the connection's refused or ended."""
        if reason in self.rejected:
            self.rejected[reason] += 1

    async def _refused(self, exchange: Exchange) -> bool:
        """Refuse a request that is over a limit; else see that it ends with its deadline, and return False."""
        if len(self.in_flight) < self._limit:
            assert exchange.expires is not None  # noqa: S101 - else nobody asks
            return not await self.overdue.watch(exchange, exchange.expires)
        self.rejected["concurrency"] += 1
        await exchange.refuse(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"{self._limit} requests are in flight, as many as LM_MAX_CONCURRENCY allows: try again later",
            [(b"retry-after", RETRY_AFTER)],
        )
        return True

    def _counted(self, exchange: Exchange) -> Receive:
        """Return its `receive` with a count of a body that does not declare its size, as it is read."""
        size, refused = 0, False

        async def counted() -> Message:
            nonlocal size, refused
            message = await exchange.receive()
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
        if not exchange.told_gone and not exchange.connection.gone:
            raise RuntimeError("the app returned without an answer")

    async def _cancelled(self, exchange: Exchange, error: asyncio.CancelledError) -> None:
        """Leave a request that was ended from outside to whoever did that; answer where its app gave up by itself."""
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
        if means_gone(error) or (exchange.left and not isinstance(error, BaseExceptionGroup)):
            exchange.status = exchange.status or CLIENT_LEFT
            _log.debug("http.client_left", exc_info=error)
            return
        self.failures.note(exchange, error)
        if exchange.span is not None:
            exchange.span.fail(error)
        if exchange.status and not exchange.finished:
            exchange.connection.end()  # an answer that is cut short is told so by the connection's end
        await self.failures.answer(exchange, error)

    def finish(self, exchange: Exchange) -> None:
        """Count, time and log a request, whose last byte has been handed on or will never be; to be called once."""
        exchange.finished = True
        if exchange.expiry is not None:
            exchange.expiry.cancel()
        seconds = time.monotonic() - exchange.started
        self.in_flight.discard(exchange)
        scope = exchange.scope
        route = self._templates.of(scope)
        key = exchange.method, route, exchange.status or CLIENT_LEFT
        observe, parts = self._observers.get(key) or self._observer(key)
        kept = exchange.span is None or exchange.span.sampled  # else the exemplar would lead to a trace that nobody has
        observe(seconds, exchange.trace_id if kept else "")
        if self.slowest is not None:
            self.slowest.add(exchange, route, seconds)
        if exchange.span is not None:
            exchange.span.end(exchange.method, route, key[2])
        if self.lifecycle.cause is not None:
            (self.cut_by_route if exchange.cut_off else self.answered_in_drain)[route] += 1
        if self._access_log is not None:
            if exchange.method == OTHER:
                parts = Parts(scope["method"], route, parts.status)
            self._access_log.write(exchange, parts, exchange.path, scope.get("client"), seconds)

    def _observer(self, key: tuple[str, str, int]) -> tuple[Callable[[float, str], None], Parts]:
        method, route, status = key
        child = self._histogram.child(method, route, str(status))
        return self._observers.setdefault(key, (child.observe, Parts(*key)))

    def cut_off(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """End what is still in flight, and the other tasks that run the app, at the end of the drain."""
        again = [(b"retry-after", RETRY_AFTER), (b"connection", b"close")]
        known = {exchange.task for exchange in self.in_flight}
        for exchange in list(self.in_flight):
            exchange.cut_off = True
            detail = "the service stopped before it could answer"
            self.overdue.end(exchange, exchange.refuse(HTTPStatus.SERVICE_UNAVAILABLE, detail, again))
        for task in set(tasks) - known:
            if not task.done():
                task.cancel()
                self.cut_by_route["(background)"] += 1

    def left_tasks(self) -> list[LeftTask]:
        """Return the tasks that handlers created and left, of those that have not ended by now."""
        serving = {exchange.task for exchange in self.in_flight}
        return left_tasks(asyncio.all_tasks() - serving, self.lifecycle, self._templates)

    def waiting(self) -> list[dict[str, Any]]:
        """Return the requests in flight, the oldest first; may be called from any thread."""
        now = time.monotonic()
        return [
            {
                "seconds": round(now - exchange.started, 3),
                "method": exchange.method,
                "route": self._templates.of(exchange.scope),
                "answering": bool(exchange.status),
                "path": exchange.path,
                "request_id": exchange.request_id,
            }
            for exchange in sorted(self.in_flight, key=lambda exchange: exchange.started)
        ]

    def _active_requests(self) -> Samples:
        methods = Counter(exchange.method for exchange in list(self.in_flight))
        return [((method,), float(methods[method])) for method in sorted({"GET", *methods})]


async def _nothing() -> Message:
    """Give an app what there is of a request that could not be read."""
    return {"type": "http.disconnect"}
