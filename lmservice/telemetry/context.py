"""What is under way where the code runs: a request's ids and deadline, and the spans around it.

`request` is set once for each request and reaches every task and thread that the request starts with a copy of its
context. Without a tracer (the extra `lmservice[otel]`, see `lmservice.tracing.otel`) a span is nothing, and the ids
alone are passed on, as W3C Trace Context asks (https://www.w3.org/TR/trace-context/).
"""

from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Literal, Protocol, Self

Kind = Literal["internal", "server", "client"]


class UnderWay(Protocol):
    """A request, a job or an outbound call that is under way."""

    @property
    def request_id(self) -> str:
        """Return the request's own id; '' outside a request."""

    @property
    def trace_id(self) -> str:
        """Return the trace's id, 32 hexadecimal digits."""

    @property
    def span_id(self) -> str:
        """Return the innermost span's id, 16 hexadecimal digits."""

    @property
    def trace_flags(self) -> str:
        """Return two hexadecimal digits; `01` is sampled."""

    @property
    def trace_state(self) -> str:
        """Return the header `tracestate` as it came, or ''."""

    @property
    def baggage(self) -> str:
        """Return the header `baggage` as it came, or '' (https://www.w3.org/TR/baggage/)."""

    @property
    def deadline(self) -> float | None:
        """Return when an answer must have begun, in seconds of `time.monotonic`; None where nothing bounds it."""


class Span(Protocol):
    """One timed piece of work in a trace; to be entered, and left when the work is done."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, as failed where an exception comes through."""

    def set(self, name: str, value: str | float) -> None:
        """Add an attribute, named by OpenTelemetry's semantic conventions."""

    def fail(self, kind: str) -> None:
        """Mark the work as failed; `kind` becomes `error.type`."""


class Tracer(Protocol):
    """What makes spans, where somebody collects them."""

    def span(self, name: str, kind: Kind, attributes: Mapping[str, Any]) -> Span:
        """Return a span below the one that is under way; while it is entered, `request` has its id."""

    def inject(self) -> Mapping[str, str]:
        """Return the headers that carry what is under way elsewhere, beside those of W3C Trace Context."""


request: ContextVar[UnderWay | None] = ContextVar("lmservice_request", default=None)
tracer: ContextVar[Tracer | None] = ContextVar("lmservice_tracer", default=None)


def ids() -> dict[str, str]:
    """Return the ids of what is under way, as log lines have them: `request_id`, `trace_id`, `span_id`."""
    now = request.get()
    if now is None:
        return {}
    trace = {"trace_id": now.trace_id, "span_id": now.span_id}
    return {"request_id": now.request_id, **trace} if now.request_id else trace


def propagation() -> dict[str, str]:
    """Return the headers that carry the trace to another service: `traceparent`, `tracestate`, `baggage`."""
    now = request.get()
    if now is None:
        return {}
    headers = {"traceparent": f"00-{now.trace_id}-{now.span_id}-{now.trace_flags}"}
    if now.trace_state:
        headers["tracestate"] = now.trace_state
    by = tracer.get()
    if by is not None:
        return {**by.inject(), **headers}
    if now.baggage:
        headers["baggage"] = now.baggage
    return headers


def deadline() -> float | None:
    """Return by when the request under way must be answered, in seconds of `time.monotonic`, or None."""
    now = request.get()
    return now.deadline if now is not None else None


def span(name: str, *, kind: Kind = "internal", attributes: Mapping[str, Any]) -> Span:
    """Begin a span around a piece of work, to be used in a `with`; it costs nothing where nobody collects spans.

    Args:
        name: by the semantic conventions, with few different values.
        kind: `client` around an outbound call.
        attributes: what is known of the work when it begins.
    """
    now = tracer.get()
    return _NOTHING if now is None else now.span(name, kind, attributes)


class _Nothing:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_outcome: object) -> None:
        pass

    def set(self, name: str, value: str | float) -> None:
        pass

    def fail(self, kind: str) -> None:
        pass


_NOTHING = _Nothing()
