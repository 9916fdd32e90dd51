"""The one layer around the app: ids, limits, timing, one log line, and `Connection: close` in a drain.

Pure ASGI, one object per request, nothing on the way of a request that can be done once or read later.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lmservice.lifecycle import Lifecycle
from lmservice.settings.model import Settings
from lmservice.telemetry.labels import OTHER, known_methods
from lmservice.telemetry.logs import Stream
from lmservice.telemetry.metrics import Metrics
from lmservice.web.access_log import AccessLog, Parts
from lmservice.web.admission import NOTICED, OVERLOADED, Admission
from lmservice.web.client_gone import ClientGoneError
from lmservice.web.development import advising
from lmservice.web.exchange import CLIENT_LEFT, Connection, Exchange, means_gone
from lmservice.web.failure import Failures
from lmservice.web.families import add_families
from lmservice.web.forwarded import Forwarding
from lmservice.web.ids import RequestTracer
from lmservice.web.left_tasks import LeftTask, left_tasks
from lmservice.web.overdue import RETRY_AFTER, Overdue
from lmservice.web.parsing import Refusal
from lmservice.web.routes import NONE, RouteTemplates
from lmservice.web.starlette import RoutesApp
from lmservice.web.turned_away import PATIENCE, TurnedAway
from lmservice.web.websocket import WebSocketLayer

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
        adaptive = settings.concurrency == "adaptive"
        self.admission = _admission(settings, self.in_flight, templates) if adaptive else None
        self._notice = min(self._limit, NOTICED) if adaptive else self._limit
        self._max_body = int(settings.max_body_size)
        self.timeout = settings.request_timeout
        self._access_log = AccessLog(stream, clients=settings.log_client) if settings.access_log else None
        self.templates = templates
        self._forwarding = Forwarding(settings)
        self._websockets = WebSocketLayer(app, self._forwarding, templates, self._access_log, tracer)
        self._histogram = metrics.request_duration
        self._observers: dict[tuple[str, str, int], tuple[Callable[[float, str], None], Parts]] = {}
        self.slowest: AnsweredRequests | None = None
        """Gets each request, while somebody watches."""
        self.rejected = Counter(dict.fromkeys(REASONS, 0))
        self.turned_away = TurnedAway(self.admission, self.rejected, self._observe_refused) if self.admission else None
        self.overdue = Overdue(self.in_flight, self.rejected, self.timeout)
        add_families(metrics, self, self._limit)

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
            if (len(self.in_flight) >= self._notice or exchange.expires is not None) and await self._refused(exchange):
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
        headers = dict(scope["headers"])
        exchange = Exchange(self, scope, headers, _nothing, connection)
        self._forwarding.apply(scope, headers)
        answer = [(b"connection", b"close")]
        if refusal is OVERLOADED and self.turned_away is not None:
            exchange.finished = True  # it is counted here, and has no line of its own
            self.turned_away.count(scope["method"])
            answer.append((b"retry-after", str(random.choice(PATIENCE)).encode()))
        else:
            self.count_rejected(refusal.reason)
            if self._tracer is not None:
                self._tracer.begin(exchange)
        try:
            await exchange.refuse(refusal.status, refusal.detail, answer)
        except ClientGoneError:
            pass
        finally:
            if not exchange.finished:
                self.finish(exchange)

    def note_given_up(self, scope: Scope, connection: Connection) -> None:
        """Count and log a request that was not begun, as its client had gone."""
        self.rejected["gone"] += 1
        exchange = Exchange(self, scope, dict(scope["headers"]), _nothing, connection)
        exchange.status = CLIENT_LEFT
        self.finish(exchange)

    def count_unsent(self, scope: Scope, *, counted: bool) -> None:
        """Count a request as cut off whose answer was complete, and could not be sent in time.

        Args:
            scope: the request's.
            counted: whether it counts as answered in the drain so far.
        """
        route = self.templates.of(scope)
        self.cut_by_route[route] += 1
        if counted:
            self.answered_in_drain -= Counter({route: 1})

    def count_rejected(self, reason: str) -> None:
        """Count a request that a limit of the connection's refused or ended."""
        if reason in self.rejected:
            self.rejected[reason] += 1

    async def _refused(self, exchange: Exchange) -> bool:
        """Refuse a request that is over a limit; else see that it ends with its deadline, and return False."""
        if self.admission is not None:
            self.admission.watch()
        if len(self.in_flight) < self._limit:
            return exchange.expires is not None and not await self.overdue.watch(exchange, exchange.expires)
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
        route = exchange.route or self.templates.of(scope)
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

    def _observe_refused(self, method: str) -> None:
        key = method if method in self.methods else OTHER, NONE, int(HTTPStatus.SERVICE_UNAVAILABLE)
        observe, _ = self._observers.get(key) or self._observer(key)
        observe(0.0, "")

    def _observer(self, key: tuple[str, str, int]) -> tuple[Callable[[float, str], None], Parts]:
        method, route, status = key
        child = self._histogram.child(method, route, str(status))
        return self._observers.setdefault(key, (child.observe, Parts(*key)))

    def left_tasks(self) -> list[LeftTask]:
        """Return the tasks that handlers created and left, of those that have not ended by now."""
        serving = {exchange.task for exchange in self.in_flight}
        return left_tasks(asyncio.all_tasks() - serving, self.lifecycle, self.templates)


def _admission(settings: Settings, in_flight: set[Exchange], templates: RouteTemplates) -> Admission:
    return Admission(
        adaptive=True,
        in_flight=in_flight,
        templates=templates,
        shed_first=settings.shed_first,
        shed_last=settings.shed_last,
    )


async def _nothing() -> Message:
    """Give an app what there is of a request that could not be read."""
    return {"type": "http.disconnect"}
