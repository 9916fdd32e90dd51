"""What a traced service takes from its caller, passes on, and says where spans cannot be exported."""

import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from collector import Collector, collecting
from processes import ServiceProcess, free_port

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PROGRAM = """
from starlette.responses import JSONResponse
from starlette.routing import Route
from lmservice import Service

async def outer(request):
    return JSONResponse((await back.get("/inner")).json())

async def own(request):
    return JSONResponse((await back.get("/inner", headers={"baggage": "own=1"})).json())

async def inner(request):
    names = ("traceparent", "tracestate", "baggage", "b3")
    return JSONResponse({name: request.headers.get(name) for name in names})

service = Service("passing", routes=[Route("/outer", outer), Route("/own", own), Route("/inner", inner)])
back = service.client("http://127.0.0.1:PORT")
"""
Start = Callable[..., ServiceProcess]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


def start(start_process: Start, endpoint: str = "", **settings: str) -> ServiceProcess:
    port = free_port()
    given = {"LM_PORT": str(port), "OTEL_BSP_SCHEDULE_DELAY": "100", **settings}
    if endpoint:
        given["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    return start_process(PROGRAM.replace("PORT", str(port)), settings=given).wait_ready()


@pytest.mark.parametrize("traced", [False, True])
def test_baggage_is_passed_on_whether_spans_are_exported_or_not(
    start_process: Start, collector: Collector, *, traced: bool
) -> None:
    process = start(start_process, collector.url if traced else "")
    headers = [("baggage", "user=ann,tier=1"), ("baggage", "more=yes"), ("tracestate", "v=1")]
    headers.append(("traceparent", f"00-{TRACE}-{PARENT}-01"))
    passed = httpx.get(f"{process.url}/outer", headers=headers).json()
    assert set(passed["baggage"].split(",")) == {"user=ann", "tier=1", "more=yes"}
    assert (passed["traceparent"][3:35], passed["tracestate"], passed["b3"]) == (TRACE, "v=1", None)
    assert httpx.get(f"{process.url}/own", headers=headers).json()["baggage"] == "own=1"
    assert httpx.get(f"{process.url}/outer").json()["baggage"] is None


def test_b3_is_taken_and_passed_on_where_otel_propagators_names_it(start_process: Start, collector: Collector) -> None:
    process = start(start_process, collector.url, OTEL_PROPAGATORS="b3,baggage")
    answer = httpx.get(f"{process.url}/outer", headers={"b3": f"{TRACE}-{PARENT}-1", "baggage": "user=ann"})
    passed = answer.json()
    assert passed["b3"].startswith(f"{TRACE}-")
    assert (passed["traceparent"][3:35], passed["baggage"]) == (TRACE, "user=ann")
    assert answer.headers["x-request-id"] == TRACE
    assert collector.named("GET /outer").parent == PARENT


def test_a_traceparent_that_is_none_begins_a_trace_of_its_own(start_process: Start, collector: Collector) -> None:
    process = start(start_process, collector.url)
    passed = httpx.get(f"{process.url}/outer", headers={"traceparent": f"00-{TRACE}-{'0' * 16}-01"}).json()
    assert TRACE not in passed["traceparent"]
    assert collector.named("GET /outer").parent == ""


def test_the_server_of_a_span_is_the_one_that_was_asked_for(start_process: Start, collector: Collector) -> None:
    process = start(start_process, collector.url)
    for host in ("shop.example", "shop.example:8443", "[2001:db8::1]:99"):
        httpx.get(f"{process.url}/inner", headers={"host": host})
    deadline = time.monotonic() + 20
    spans: list[dict[str, object]] = []
    while len(spans) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
        spans = [span.attributes for span in collector.spans if span.name == "GET /inner"]
    servers = [(attributes["server.address"], attributes["server.port"]) for attributes in spans]
    assert servers == [("shop.example", 80), ("shop.example", 8443), ("2001:db8::1", 99)]


@pytest.mark.parametrize(("sampler", "left"), [("always_off", False), ("always_on", True)])
def test_only_a_trace_that_is_kept_leaves_an_exemplar(
    start_process: Start, collector: Collector, sampler: str, *, left: bool
) -> None:
    process = start(start_process, collector.url, OTEL_TRACES_SAMPLER=sampler)
    httpx.get(f"{process.url}/inner")
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    text = httpx.get(f"{process.management_url}/metrics", headers=accept).text
    assert ("trace_id=" in text) is left


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "opentelemetry-exporter-otlp-proto-grpc"),
        ),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"}, ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json")),
        ({"OTEL_PROPAGATORS": "tracecontext,jaeger"}, ("jaeger", "OTEL_PROPAGATORS")),
    ],
)
def test_what_there_is_not_is_refused_by_name_and_the_service_runs(
    start_process: Start, collector: Collector, settings: dict[str, str], named: tuple[str, ...]
) -> None:
    process = start(start_process, collector.url, **settings)
    told = str(process.event("lmservice.no_spans"))
    assert [name for name in named if name not in told] == []
    assert httpx.get(f"{process.url}/inner").status_code == 200


def test_the_protocol_for_traces_comes_first(start_process: Start, collector: Collector) -> None:
    settings = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}
    process = start(start_process, collector.url, **settings)
    httpx.get(f"{process.url}/inner")
    assert collector.named("GET /inner").kind == 2


def test_a_collector_that_is_away_costs_one_line_and_its_return_another(start_process: Start) -> None:
    port = free_port()
    settings = {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    process = start(start_process, f"http://127.0.0.1:{port}", **settings)
    for _ in range(12):
        httpx.get(f"{process.url}/inner")
        time.sleep(0.3)
    failed = process.event("lmservice.spans_failed")
    assert failed["error"]
    told = [line for line in process.logs if "opentelemetry" in line["logger"] or "otel" in line["logger"]]
    assert [line["event"] for line in told] == ["lmservice.spans_failed"]
    with collecting(port):
        httpx.get(f"{process.url}/inner")
        process.event("lmservice.spans_recovered")
