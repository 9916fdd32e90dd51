"""Spans by OpenTelemetry's own SDK, exported over OTLP (the extra `lmservice[otel]`).

Names and attributes follow the semantic conventions for HTTP
(https://opentelemetry.io/docs/specs/semconv/http/http-spans/). Sampling, batching, headers and time-outs are the SDK's,
set by its own `OTEL_...` variables; what `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` say stands above the
service's own name. A tracer provider that somebody has set globally is used as it is.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from lmservice.runtime.threads import run_in_thread
from lmservice.telemetry import context
from lmservice.telemetry.context import Kind, UnderWay
from lmservice.telemetry.labels import OTHER, known_methods
from lmservice.tracing.exporting import exporter
from lmservice.tracing.propagation import extracted, injected
from lmservice.version import __version__
from lmservice.web.ids import RequestContext
from lmservice.web.routes import NONE

if TYPE_CHECKING:
    from contextvars import Token

_KINDS = {"internal": SpanKind.INTERNAL, "server": SpanKind.SERVER, "client": SpanKind.CLIENT}
_SERVER_ERROR = 500
_PORT, _SECURE_PORT = 80, 443

_log = logging.getLogger("lmservice.otel")


class OtelTracer:
    """Makes spans for one service, and exports them from the SDK's own thread.

    Args:
        fields: `service`, `version`, `environment` and `instance`, for the spans' resource.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        provider = trace.get_tracer_provider()
        self._own = None if _set_by_another(provider) else _Provider(resource=_resource(fields), shutdown_on_exit=False)
        if self._own is not None:
            self._own.add_span_processor(BatchSpanProcessor(exporter()))
        if isinstance(provider, trace.ProxyTracerProvider) and self._own is not None:
            trace.set_tracer_provider(self._own)  # so that the spans of other instrumentation go the same way
        self._methods = known_methods()
        self._tracer = (self._own or provider).get_tracer("lmservice", __version__)

    def begin(self, request: RequestContext) -> None:
        """Begin the span of a request or handshake, whose ids become the span's; current until its task ends."""
        attributes = _of_request(request.scope, self._methods)
        name = _name(attributes["http.request.method"])
        context = extracted(request)
        span = self._tracer.start_span(name, context, SpanKind.SERVER, attributes=attributes)
        otel_context.attach(trace.set_span_in_context(span, context))
        request.take_span(_ServerSpan(span))

    def inject(self) -> dict[str, str]:
        """Return the headers of what is under way: baggage, and what else OTEL_PROPAGATORS names."""
        return injected()

    def span(self, name: str, kind: Kind, attributes: Mapping[str, Any]) -> "_Scoped":
        """Return a span below the one that is under way, to be used in a `with`."""
        return _Scoped(self._tracer, name, _KINDS[kind], attributes)

    async def close(self, timeout: float) -> None:
        """Export what has been collected, and end; give up after `timeout` seconds."""
        if self._own is None:
            return
        try:
            await run_in_thread(self._own.shutdown, name="spans", timeout=timeout)
        except TimeoutError:
            _log.warning("lmservice.spans_lost", extra={"hint": f"the last spans were not taken within {timeout:g} s"})


class _Provider(TracerProvider):
    """One of ours, which ends with its service."""


def _set_by_another(provider: trace.TracerProvider) -> bool:
    return isinstance(provider, TracerProvider) and not isinstance(provider, _Provider)


def _resource(fields: Mapping[str, str]) -> Resource:
    names = {
        "service.name": "service",
        "service.version": "version",
        "deployment.environment.name": "environment",
        "service.instance.id": "instance",
    }
    ours = Resource.create({name: fields[field] for name, field in names.items() if fields[field]})
    return ours.merge(OTELResourceDetector().detect())


def _of_request(scope: Mapping[str, Any], methods: frozenset[str]) -> dict[str, Any]:
    method = scope.get("method", "GET")
    known = {"http.request.method": method}
    attributes = {
        **(known if method in methods else {"http.request.method": OTHER, "http.request.method_original": method}),
        "url.scheme": scope.get("scheme", "http"),
        "url.path": scope["path"],
        "network.protocol.version": scope.get("http_version", "1.1"),
    }
    for name, value in (("client", scope.get("client")), ("server", _asked_for(scope))):
        if value:
            attributes |= {f"{name}.address": value[0]} | ({f"{name}.port": value[1]} if value[1] else {})
    agent = _header(scope["headers"], b"user-agent")
    return attributes | ({"user_agent.original": agent} if agent else {})


def _asked_for(scope: Mapping[str, Any]) -> tuple[str, int | None] | None:
    """Return the host and port that the client asked for; where it says none, those that it came to."""
    authority = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::(\d{1,5}))?", _header(scope["headers"], b"host"))
    if authority is None:
        came_to: tuple[str, int | None] | None = scope.get("server")
        return came_to
    secure = scope.get("scheme") in ("https", "wss")
    port = int(authority[3]) if authority[3] else _SECURE_PORT if secure else _PORT
    return authority[1] or authority[2], port


def _name(method: str) -> str:
    return "HTTP" if method == OTHER else method


def _header(headers: Sequence[tuple[bytes, bytes]], wanted: bytes) -> str:
    return next((value.decode("latin-1") for name, value in headers if name == wanted), "")


class _ServerSpan:
    """The span around a request (`ids.RequestSpan`)."""

    __slots__ = ("_failed", "_span", "flags", "sampled", "span_id", "trace_id")

    def __init__(self, span: Span) -> None:
        self._span = span
        self._failed = False
        self.trace_id, self.span_id, self.flags = _ids(span)
        self.sampled = span.get_span_context().trace_flags.sampled

    def fail(self, error: BaseException) -> None:
        """Note the exception that ended the request; one that comes after its end is no part of it."""
        if self._span.is_recording():
            self._failed = True
            self._span.record_exception(error)
            self._span.set_attribute("error.type", type(error).__qualname__)
            self._span.set_status(Status(StatusCode.ERROR))

    def end(self, method: str, route: str, status: int) -> None:
        """End it, by what the request was answered with."""
        span = self._span
        if route != NONE:
            span.update_name(f"{_name(method)} {route}")
            span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        if status >= _SERVER_ERROR and not self._failed:
            span.set_attribute("error.type", str(status))
            span.set_status(Status(StatusCode.ERROR))
        span.end()


class _Scoped:
    """A span around a piece of work (`context.Span`)."""

    def __init__(self, tracer: trace.Tracer, name: str, kind: SpanKind, attributes: Mapping[str, Any]) -> None:
        self._tracer, self._name, self._kind, self._attributes = tracer, name, kind, attributes
        self._span: Span
        self._tokens: tuple[Token[Any], Token[Any]]

    def __enter__(self) -> Self:
        self._span = self._tracer.start_span(self._name, kind=self._kind, attributes=dict(self._attributes))
        below = _Below(context.request.get(), self._span)
        inside = otel_context.attach(trace.set_span_in_context(self._span))
        self._tokens = inside, context.request.set(below)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        inside, before = self._tokens
        context.request.reset(before)
        otel_context.detach(inside)
        if error is not None:
            self._span.record_exception(error)
            self.fail(type(error).__qualname__)
        self._span.end()

    def set(self, name: str, value: str | float) -> None:
        """Add an attribute."""
        self._span.set_attribute(name, value)

    def fail(self, kind: str) -> None:
        """Mark the work as failed."""
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR))


class _Below:
    """What is under way inside a span: the request's id and deadline, the span's ids (`context.UnderWay`)."""

    def __init__(self, above: UnderWay | None, span: Span) -> None:
        self.above = above
        self._span = span
        self.trace_id, self.span_id, self.trace_flags = _ids(span)

    @property
    def request_id(self) -> str:
        """Return the request's own; '' outside a request."""
        return self.above.request_id if self.above else ""

    @property
    def trace_state(self) -> str:
        """Return the span's, which has its parent's."""
        return self._span.get_span_context().trace_state.to_header()

    @property
    def baggage(self) -> str:
        """Return the request's."""
        return self.above.baggage if self.above else ""

    @property
    def deadline(self) -> float | None:
        """Return the request's."""
        return self.above.deadline if self.above else None


def _ids(span: Span) -> tuple[str, str, str]:
    context = span.get_span_context()
    return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id), f"{context.trace_flags:02x}"
