"""A collector of spans: takes what OpenTelemetry's exporter sends over HTTP, and decodes it."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Span:
    """One span as it came, ids in hexadecimal."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent: str
    state: str
    attributes: dict[str, Any]
    failed: bool
    resource: dict[str, Any]


@dataclass
class Collector:
    """The spans so far."""

    url: str = ""
    delay: float = 0.0
    spans: list[Span] = field(default_factory=list)

    def named(self, name: str) -> Span:
        """The one span of that name, waited for."""
        (span,) = self._wait_for(lambda span: span.name == name)
        return span

    def first(self, name: str) -> Span:
        """The first span of that name, waited for."""
        return self._wait_for(lambda span: span.name == name)[0]

    def below(self, above: Span) -> list[Span]:
        """The spans whose parent is `above`, waited for."""
        return self._wait_for(lambda span: span.parent == above.span_id)

    def _wait_for(self, wanted: Callable[[Span], bool]) -> list[Span]:
        end = time.monotonic() + 20
        while not (found := [span for span in self.spans if wanted(span)]):
            assert time.monotonic() < end, [span.name for span in self.spans]
            time.sleep(0.02)
        return found

    def take(self, body: bytes) -> None:
        """Decodes what one request brought."""
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _attributes(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                self.spans += [_span(span, resource) for span in of_scope.spans]


def _attributes(found: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in found}


def _span(span: Any, resource: dict[str, Any]) -> Span:
    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
    failed = span.status.code == 2
    return Span(span.name, span.kind, *ids, span.trace_state, _attributes(span.attributes), failed, resource)


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    """Collects on a port of the loopback, a free one by default."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            time.sleep(collector.delay)
            collector.take(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield collector
    server.shutdown()
    server.server_close()
