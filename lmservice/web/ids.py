"""The ids of a request: its own, and those of its trace (W3C Trace Context, https://www.w3.org/TR/trace-context/).

The client's `X-Request-ID` is taken where it is one, else an id is made. The trace is the one that the caller's
`traceparent` names; one that begins here has the id made. The request's span is always one of its own.
"""

import os
import random
import re
from collections.abc import Mapping
from typing import Protocol

from starlette.types import Scope

from lmservice.telemetry import context

REQUEST_ID = rb"[A-Za-z0-9._:/+=@-]{1,128}"
_TRACEPARENT = (  # only a version to come may be longer
    rb"(?!ff)(?!00.{53}-)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_BITS = 192  # a span's id and a trace's
_BATCH = 64
_NOT_ZERO = sum((1 << 128 | 1) << at for at in range(0, _BATCH * _BITS, _BITS))  # an id of zeros is none
_KNOWN_FLAGS = 0b11  # sampled, and random-trace-id

_drawn: list[tuple[str, str]] = []
"""Ids of spans and traces that nobody has yet; drawn many at a time, which costs half as much."""
os.register_at_fork(after_in_child=_drawn.clear)  # else both processes would use them


class RequestSpan(Protocol):
    """The span around a request, where somebody collects spans."""

    trace_id: str
    span_id: str
    flags: str
    sampled: bool
    """Whether it is exported."""

    def fail(self, error: BaseException) -> None:
        """Note the exception that ended the request."""

    def end(self, method: str, route: str, status: int) -> None:
        """End it, by what the request was answered with."""


class RequestTracer(Protocol):
    """What makes those spans."""

    def begin(self, request: "RequestContext") -> None:
        """Begin the span of a request or handshake, and give it to `take_span`."""


class RequestContext:
    """What is under way while a request or a handshake is (`context.UnderWay`): its ids, and its span."""

    span: RequestSpan | None = None
    parent: re.Match[bytes] | None = None
    """The caller's `traceparent`, where it is valid."""

    def __init__(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        self.scope = scope
        try:
            self.span_id, request_id = _drawn.pop()
        except IndexError:
            self.span_id, request_id = _draw()
        self.trace_id = request_id
        if b"traceparent" in headers and (parent := _parent(headers, scope)):
            self.parent = parent
            self.trace_id = parent[1].decode()
        if b"x-request-id" in headers and re.fullmatch(REQUEST_ID, headers[b"x-request-id"]):
            request_id = headers[b"x-request-id"].decode()
        self.request_id = scope["state"]["request_id"] = request_id
        context.request.set(self)

    def take_span(self, span: RequestSpan) -> None:
        """Take over the ids of the span that has begun around it."""
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
    def baggage(self) -> str:
        """The header `baggage`, whose several lines count as one list."""
        return ",".join(value.decode("latin-1") for name, value in self.scope["headers"] if name == b"baggage")

    @property
    def deadline(self) -> float | None:
        """None, as nothing bounds a handshake; a request has its own."""
        return None


def _draw() -> tuple[str, str]:
    """Return ids of a span and a trace, and draw those of the next requests."""
    digits = f"{random.getrandbits(_BATCH * _BITS) | _NOT_ZERO:0{_BATCH * _BITS // 4}x}"
    ids = [(digits[at : at + 16], digits[at + 16 : at + 48]) for at in range(0, len(digits), 48)]
    _drawn.extend(ids[1:])
    return ids[0]


def _parent(headers: Mapping[bytes, bytes], scope: Scope) -> re.Match[bytes] | None:
    """Return the caller's `traceparent`, unless it is invalid or comes twice."""
    once = [name for name, _ in scope["headers"]].count(b"traceparent") == 1
    return re.fullmatch(_TRACEPARENT, headers[b"traceparent"]) if once else None
