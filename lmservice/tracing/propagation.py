"""What a request brings of its trace and baggage, and what goes along with an outbound call, by OTEL_PROPAGATORS.

W3C Trace Context is lmservice's own, whatever the variable says; `baggage` and `b3` are OpenTelemetry's propagators.
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#general-sdk-configuration
"""

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace import TraceState as OtelTraceState

from lmservice.web.ids import RequestContext


def extracted(request: RequestContext) -> otel_context.Context:
    """Return the context that a request brings: the caller's span, where it names one, and its baggage."""
    headers: dict[str, str] = {}
    for name, value in request.scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    traced = "traceparent" in headers
    context = propagate.extract(headers, context=otel_context.Context())
    if request.parent is not None:
        return trace.set_span_in_context(NonRecordingSpan(_caller(request)), context)
    if traced:  # but it is none that the specification knows: the trace begins here
        return trace.set_span_in_context(trace.INVALID_SPAN, context)
    return context


def _caller(request: RequestContext) -> SpanContext:
    assert request.parent is not None  # noqa: S101 - for the type checker
    state = OtelTraceState.from_header([request.trace_state]) if request.trace_state else None
    trace_id, span_id = int(request.parent[1], 16), int(request.parent[2], 16)
    flags = TraceFlags(int(request.trace_flags, 16))
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags, trace_state=state)


def injected() -> dict[str, str]:
    """Return the headers of what is under way, by the propagators."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers
