"""Spans, exported by OpenTelemetry's own SDK to a collector that decodes them."""

import signal
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from collector import Collector, collecting
from processes import ServiceProcess, free_port
from websockets.sync.client import connect

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
INTERNAL, SERVER, CLIENT = 1, 2, 3
PROGRAM = """
import logging, sys
from opentelemetry import trace
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from lmservice import Service

async def hello(request):
    with trace.get_tracer("the-users").start_as_current_span("users own"):
        logging.getLogger("handler").warning("greeting")
    return JSONResponse({"hello": request.path_params["name"]})

async def fail(request):
    raise KeyError("secret")

async def echo(websocket):
    await websocket.accept()
    await websocket.close()

service = Service("traced", version="1.2", routes=[
    Route("/hello/{name}", hello), Route("/fail", fail), WebSocketRoute("/echo", echo)])

@service.startup_job
async def dictionary(state):
    logging.getLogger("job").warning("loading")

@service.startup_job
async def generator(state):
    yield
"""
OUTBOUND = """
from starlette.responses import JSONResponse
from starlette.routing import Route
from lmservice import Service

async def outer(request):
    answer = await back.get("/inner")
    return JSONResponse(answer.json())

async def inner(request):
    return JSONResponse(request.headers["traceparent"])

service = Service("outbound", routes=[Route("/outer", outer), Route("/inner", inner)])
back = service.client("http://127.0.0.1:PORT")

@service.periodic_job(every=0.2)
async def refresh(state):
    await back.get("/inner")
"""
SILENT = """
import sys
from starlette.responses import JSONResponse
from starlette.routing import Route
from lmservice import Service

async def loaded(request):
    return JSONResponse([name for name in sys.modules if name.startswith(("opentelemetry", "httpx"))])

service = Service("silent", routes=[Route("/", loaded)])
"""
Start = Callable[..., ServiceProcess]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


def start(start_process: Start, collector: Collector, **settings: str) -> ServiceProcess:
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100", **settings}
    return start_process(PROGRAM, settings=given).wait_ready()


def test_a_request_is_a_span_below_its_callers(start_process: Start, collector: Collector) -> None:
    process = start(start_process, collector)
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=value", "user-agent": "tests"}
    httpx.get(f"{process.url}/hello/world", headers=headers)
    span = collector.named("GET /hello/{name}")
    assert (span.kind, span.trace_id, span.parent, span.state) == (SERVER, TRACE, PARENT, "vendor=value")
    attributes = span.attributes
    assert attributes["http.request.method"] == "GET"
    assert attributes["http.route"] == "/hello/{name}"
    assert attributes["http.response.status_code"] == 200
    assert (attributes["url.path"], attributes["url.scheme"]) == ("/hello/world", "http")
    assert (attributes["client.address"], attributes["server.port"]) == ("127.0.0.1", process.port)
    assert attributes["user_agent.original"] == "tests"
    assert not span.failed


def test_the_log_has_the_spans_ids(start_process: Start, collector: Collector) -> None:
    process = start(start_process, collector)
    httpx.get(f"{process.url}/hello/world")
    span = collector.named("GET /hello/{name}")
    for event in ("http.request", "greeting"):
        line = process.event(event)
        assert (line["trace_id"], line["span_id"], line["request_id"]) == (span.trace_id, span.span_id, span.trace_id)


def test_the_users_own_spans_are_below_the_requests(start_process: Start, collector: Collector) -> None:
    process = start(start_process, collector)
    httpx.get(f"{process.url}/hello/world")
    own, request = collector.named("users own"), collector.named("GET /hello/{name}")
    assert (own.trace_id, own.parent) == (request.trace_id, request.span_id)


def test_a_request_without_a_caller_begins_a_trace(start_process: Start, collector: Collector) -> None:
    process = start(start_process, collector)
    httpx.get(f"{process.url}/hello/a")
    assert collector.named("GET /hello/{name}").parent == ""


def test_a_callers_decision_not_to_sample_is_heeded(start_process: Start, collector: Collector) -> None:
    process = start(start_process, collector)
    httpx.get(f"{process.url}/hello/a", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
    httpx.get(f"{process.url}/nonesuch")
    assert collector.named("GET").attributes["http.response.status_code"] == 404
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    assert TRACE not in [span.trace_id for span in collector.spans]


def test_a_failure_is_marked(start_process: Start, collector: Collector) -> None:
    process = start(start_process, collector)
    assert httpx.get(f"{process.url}/fail").status_code == 500
    span = collector.named("GET /fail")
    assert span.failed
    assert span.attributes["error.type"] == "KeyError"
    assert span.attributes["http.response.status_code"] == 500


def test_a_websocket_is_one_span(start_process: Start, collector: Collector) -> None:
    process = start(start_process, collector)
    with connect(f"ws://127.0.0.1:{process.port}/echo", proxy=None):
        pass
    assert collector.named("GET /echo").attributes["http.response.status_code"] == 101


def test_startup_jobs_are_spans_below_the_start(start_process: Start, collector: Collector) -> None:
    process = start(start_process, collector)
    above = collector.named("startup")
    for name in ("dictionary", "generator"):
        job = collector.named(f"startup job {name}")
        assert (job.kind, job.trace_id, job.parent) == (INTERNAL, above.trace_id, above.span_id)
    loading = process.event("loading")
    job = collector.named("startup job dictionary")
    assert (loading["trace_id"], loading["span_id"]) == (job.trace_id, job.span_id)
    assert "request_id" not in loading


def test_outbound_calls_are_spans_below_what_makes_them(start_process: Start, collector: Collector) -> None:
    port = free_port()
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100", "LM_PORT": str(port)}
    process = start_process(OUTBOUND.replace("PORT", str(port)), settings=settings).wait_ready()
    sent = httpx.get(f"{process.url}/outer").json()
    outer = collector.named("GET /outer")
    (call,) = collector.below(outer)
    (inner,) = collector.below(call)
    assert (call.kind, inner.name) == (CLIENT, "GET /inner")
    version, trace_id, parent, flags = sent.split("-")
    assert (version, trace_id, parent, int(flags, 16) & 1) == ("00", outer.trace_id, call.span_id, 1)
    assert call.attributes["http.response.status_code"] == 200
    assert call.attributes["server.port"] == port


def test_a_periodic_jobs_run_is_a_span_above_its_calls(start_process: Start, collector: Collector) -> None:
    port = free_port()
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100", "LM_PORT": str(port)}
    start_process(OUTBOUND.replace("PORT", str(port)), settings=settings).wait_ready()
    run = collector.first("periodic job refresh")
    assert (run.kind, run.parent) == (INTERNAL, "")
    (call,) = collector.below(run)
    assert (call.kind, call.name) == (CLIENT, "GET")


def test_spans_say_which_service_they_are_of(start_process: Start, collector: Collector) -> None:
    start(start_process, collector, LM_INSTANCE="pod-1", OTEL_RESOURCE_ATTRIBUTES="team=flights")
    resource = collector.named("startup").resource
    assert (resource["service.name"], resource["service.version"]) == ("traced", "1.2")
    assert (resource["deployment.environment.name"], resource["service.instance.id"]) == ("dev", "pod-1")
    assert resource["team"] == "flights"


def test_opentelemetrys_own_name_stands_above_the_services(start_process: Start, collector: Collector) -> None:
    start(start_process, collector, OTEL_SERVICE_NAME="renamed")
    assert collector.named("startup").resource["service.name"] == "renamed"


def test_the_last_spans_are_exported_at_the_stop(start_process: Start, collector: Collector) -> None:
    process = start(start_process, collector, OTEL_BSP_SCHEDULE_DELAY="600000")
    httpx.get(f"{process.url}/hello/world")
    assert collector.spans == []
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    assert "GET /hello/{name}" in [span.name for span in collector.spans]


def test_a_collector_that_hangs_delays_neither_requests_nor_the_stop(
    start_process: Start, collector: Collector
) -> None:
    collector.delay = 15
    process = start(start_process, collector)
    began = time.monotonic()
    with httpx.Client() as client:
        for _ in range(50):
            assert client.get(f"{process.url}/hello/world").status_code == 200
    assert time.monotonic() - began < 10
    began = time.monotonic()
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    assert time.monotonic() - began < 8
    assert process.event("lmservice.spans_lost")


def test_no_collector_at_all_costs_the_stop_little(start_process: Start) -> None:
    process = start(start_process, Collector(url="http://127.0.0.1:9"))
    assert httpx.get(f"{process.url}/hello/world").status_code == 200
    process.signal(signal.SIGTERM)
    assert process.wait(15) == 0


@pytest.mark.parametrize(
    "settings", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}]
)
def test_without_an_endpoint_nothing_of_it_is_loaded(start_process: Start, settings: dict[str, str]) -> None:
    process = start_process(SILENT, settings=settings).wait_ready()
    assert httpx.get(process.url).json() == []


def test_without_the_extra_a_warning_names_it(start_process: Start, collector: Collector) -> None:
    hidden = "import sys\nsys.modules['opentelemetry'] = None\n" + SILENT
    process = start_process(hidden, settings={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}).wait_ready()
    assert "lmservice[otel]" in process.event("lmservice.no_spans")["hint"]
    assert httpx.get(process.url).status_code == 200
