"""What a tracer sees of a call."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Self

import httpx
import pytest
from flaky import HANG, RESET, Flaky

from lmservice import Client
from lmservice.telemetry import context

pytestmark = pytest.mark.anyio
MakeClient = Callable[..., Client]


class Span:
    """Notes what it is told; while it is entered, it is what is under way."""

    def __init__(self, name: str, kind: str, attributes: Mapping[str, Any], number: int) -> None:
        self.name, self.kind, self.attributes = name, kind, dict(attributes)
        self.id = f"{number:016x}"
        self.failed: list[str] = []
        self.raised: BaseException | None = None
        self.left = False

    def __enter__(self) -> Self:
        ids = SimpleNamespace(
            request_id="",
            trace_id="a" * 32,
            span_id=self.id,
            trace_flags="01",
            trace_state="",
            baggage="",
            deadline=None,
        )
        self._token = context.request.set(ids)
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        context.request.reset(self._token)
        self.raised, self.left = error, True

    def set(self, name: str, value: str | float) -> None:
        self.attributes[name] = value

    def fail(self, kind: str) -> None:
        self.failed.append(kind)


class Tracer:
    """Makes spans, and keeps them."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def span(self, name: str, kind: str, attributes: Mapping[str, Any]) -> Span:
        self.spans.append(Span(name, kind, attributes, len(self.spans) + 1))
        return self.spans[-1]

    def inject(self) -> dict[str, str]:
        return {"baggage": "by=tracer"}


@contextmanager
def tracing() -> Iterator[list[Span]]:
    """The spans that are made meanwhile."""
    tracer = Tracer()
    token = context.tracer.set(tracer)
    yield tracer.spans
    context.tracer.reset(token)


async def test_each_attempt_has_a_span_whose_id_it_sends_on(server: Flaky, client_of: MakeClient) -> None:
    server.then(503, RESET)
    async with client_of() as client:
        with tracing() as spans:
            await client.get("/path", params={"token": "secret"})
    first, second, third = spans
    assert {(span.name, span.kind, span.left) for span in spans} == {("GET", "client", True)}
    sent = [each.headers["traceparent"] for each in server.asked]
    assert sent == [f"00-{'a' * 32}-{span.id}-01" for span in spans]
    assert third.attributes == {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "url.full": f"{server.url}/path",
        "http.request.resend_count": 2,
        "http.response.status_code": 200,
    }
    assert "http.request.resend_count" not in first.attributes
    assert (first.failed, first.raised, first.attributes["http.response.status_code"]) == (["503"], None, 503)
    assert len(second.failed) == 1
    assert isinstance(second.raised, httpx.TransportError)
    assert (third.failed, third.raised) == ([], None)


async def test_an_attempt_that_takes_too_long_has_failed_by_timeout(server: Flaky, client_of: MakeClient) -> None:
    server.then(HANG)
    async with client_of(timeout=0.1) as client:
        with tracing() as spans, pytest.raises(httpx.TimeoutException):
            await client.post("/")
    (span,) = spans
    assert span.failed == ["timeout"]
    assert "http.response.status_code" not in span.attributes


async def test_a_method_of_nobodys_does_not_name_a_span(server: Flaky, client_of: MakeClient) -> None:
    async with client_of() as client:
        with tracing() as spans:
            await client.request("BREW", f"http://user:secret@{server.host}/pot")
    (span,) = spans
    assert span.name == "HTTP"
    assert span.attributes["url.full"] == f"{server.url}/pot"
    assert span.attributes["http.request.method"] == "BREW"
