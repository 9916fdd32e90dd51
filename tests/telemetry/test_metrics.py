"""Names and labels of the metrics, as the contract spells them, read as Prometheus reads them."""

import asyncio
import gzip
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Gauge
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from strict_client import request_bytes

from lmservice import Service
from lmservice.telemetry.metrics import Metrics, shared_collector

pytestmark = pytest.mark.anyio


async def hello(_: Request) -> Response:
    await asyncio.sleep(0.01)
    return PlainTextResponse("hello")


def service(name: str = "metrics") -> Service:
    return Service(name, version="1.2.3", routes=[Route("/hello/{name}", hello, methods=["GET", "POST", "PROPFIND"])])


async def families(served: Any) -> dict[str, Any]:
    text = (await served.management.get("/metrics")).text
    return {family.name: family for family in parse(text)}


async def test_a_requests_duration_has_the_conventions_labels(serve: Any) -> None:
    served = await serve(service())
    await served.client.get("/hello/world")
    await served.client.get("/nonesuch")
    family = (await families(served))["http_server_request_duration_seconds"]
    assert family.type == "histogram"
    counts = {
        tuple(sorted(sample.labels.items())): sample.value for sample in family.samples if "_count" in sample.name
    }
    assert counts == {
        (
            ("http_request_method", "GET"),
            ("http_response_status_code", "200"),
            ("http_route", "/hello/{name}"),
        ): 1,
        (("http_request_method", "GET"), ("http_response_status_code", "404"), ("http_route", "none")): 1,
    }
    (seconds,) = [each.value for each in family.samples if "_sum" in each.name and each.labels["http_route"] != "none"]
    assert 0.01 <= seconds < 1


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "QUERY"]
)
async def test_methods_of_the_rfc_are_themselves(serve: Any, connect: Any, method: str) -> None:
    served = await serve(service(), http="h11")
    target = "localhost:80" if method == "CONNECT" else "/hello/world"
    writer = await connect(served.port)
    writer._transport.write(request_bytes(target, method=method))
    await asyncio.sleep(0.1)
    name = f'http_server_request_duration_seconds_count{{http_request_method="{method}"'
    assert [each for each in await served.metrics() if each.startswith(name)]


@pytest.mark.parametrize(("http", "method"), [("httptools", "PROPFIND"), ("h11", "BREW"), ("h11", "get")])
async def test_any_other_method_is_other(serve: Any, connect: Any, logged: Any, http: str, method: str) -> None:
    served = await serve(service(), http=http)
    await (await connect(served.port)).request(request_bytes("/hello/world", method=method))
    samples = await served.metrics()
    assert not [name for name in samples if f'"{method}"' in name]
    assert [name for name in samples if 'http_request_method="_OTHER"' in name]
    assert logged("http.request")[-1]["method"] == method


async def test_opentelemetrys_list_of_methods_replaces_ours(
    serve: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "PROPFIND,GET")
    served = await serve(service())
    for method in ("PROPFIND", "POST"):
        await (await connect(served.port)).request(request_bytes("/hello/world", method=method))
    counts = [name for name in await served.metrics() if name.startswith("http_server_request_duration_seconds_count")]
    methods = {name.split('http_request_method="')[1].split('"')[0] for name in counts}
    assert methods == {"PROPFIND", "_OTHER"}


async def test_requests_in_flight_are_counted_while_they_are(serve: Any) -> None:
    let_go = asyncio.Event()

    async def hold(_: Request) -> Response:
        await let_go.wait()
        return PlainTextResponse("held")

    served = await serve(Service("metrics", routes=[Route("/hold", hold)]))
    name = 'http_server_active_requests{http_request_method="GET"}'
    assert (await served.metrics())[name] == 0
    held = [asyncio.create_task(served.client.get("/hold")) for _ in range(3)]
    await asyncio.sleep(0.1)
    assert (await served.metrics())[name] == 3
    let_go.set()
    await asyncio.gather(*held)
    assert (await served.metrics())[name] == 0


async def test_the_state_is_one_hot(serve: Any) -> None:
    served = await serve(service())
    family = (await families(served))["lmservice_state"]
    found = {sample.labels["state"]: sample.value for sample in family.samples}
    assert found == {"starting": 0, "ready": 1, "draining": 0, "stopped": 0, "failed": 0}


async def test_the_build_is_told_in_labels(serve: Any) -> None:
    served = await serve(service(), revision="abc123", environment="qa", drain_delay=0, drain_quiet=0, idle_grace=0)
    ((sample,),) = [family.samples for name, family in (await families(served)).items() if "build_info" in name]
    assert sample.name == "lmservice_build_info"
    assert sample.value == 1
    assert sample.labels.items() >= {"version": "1.2.3", "revision": "abc123"}.items()


async def test_each_start_up_jobs_duration_is_told_by_its_name(serve: Any) -> None:
    each = service()

    async def slow() -> None:
        await asyncio.sleep(0.1)

    each.startup_job(slow)
    each.startup_job(name="quick")(lambda: None)
    samples = await (await serve(each)).metrics()
    assert 0.1 <= samples['lmservice_startup_job_duration_seconds{job="slow"}'] < 1
    assert samples['lmservice_startup_job_duration_seconds{job="quick"}'] < 0.1


async def test_each_health_check_is_told_by_its_name(serve: Any) -> None:
    each = service()

    async def broken() -> bool:
        return False

    each.health_check(failures=1)(broken)
    each.health_check(name="fine")(lambda: None)
    served = await serve(each)
    await asyncio.sleep(0.1)
    samples = await served.metrics()
    assert samples['lmservice_health_check_status{check="broken"}'] == 0
    assert samples['lmservice_health_check_status{check="fine"}'] == 1


async def test_each_periodic_job_is_told_by_its_name(serve: Any) -> None:
    each = service()
    each.periodic_job(every=0.01, name="refresh")(lambda: None)
    served = await serve(each)
    success = 'lmservice_periodic_job_runs_total{job="refresh",outcome="success"}'
    async with asyncio.timeout(10):
        while not (samples := await served.metrics())[success]:
            pass
    names = {name for name in samples if name.startswith("lmservice_periodic_job_")}
    assert names >= {
        'lmservice_periodic_job_runs_total{job="refresh",outcome="failure"}',
        'lmservice_periodic_job_runs_total{job="refresh",outcome="cancelled"}',
        'lmservice_periodic_job_duration_seconds_count{job="refresh"}',
        'lmservice_periodic_job_last_success_timestamp_seconds{job="refresh"}',
        'lmservice_periodic_job_running{job="refresh"}',
    }


async def test_the_contracts_other_families_are_there(serve: Any) -> None:
    samples = await (await serve(service())).metrics()
    for name in (
        "lmservice_event_loop_lag_seconds",
        'lmservice_requests_rejected_total{reason="concurrency"}',
        'lmservice_requests_rejected_total{reason="body_size"}',
        'lmservice_requests_rejected_total{reason="timeout"}',
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        'python_gc_collections_total{generation="0"}',
    ):
        assert name in samples, name


async def test_openmetrics_and_gzip_are_given_when_they_are_asked_for(serve: Any) -> None:
    served = await serve(service())
    await served.client.get("/hello/world")
    response = await served.management.get(
        "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
    )
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    parsed: Any = parse_openmetrics(response.text)  # type: ignore[no-untyped-call]
    names = {family.name for family in parsed}
    assert {"http_server_request_duration_seconds", "lmservice_state"} <= names
    async with served.management.stream("GET", "/metrics", headers={"Accept-Encoding": "gzip"}) as packed:
        assert packed.headers["content-encoding"] == "gzip"
        assert b"lmservice_state" in gzip.decompress(b"".join([part async for part in packed.aiter_raw()]))
    plain = await served.management.get("/metrics", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


async def test_two_services_in_one_process_count_apart(serve: Any) -> None:
    shared_by_all = {family.name for family in REGISTRY.collect()}  # a bare client of another test may be there
    one, other = await serve(service("one")), await serve(service("other"))
    await one.client.get("/hello/world")
    name = "http_server_request_duration_seconds_count"
    assert [each for each in await one.metrics() if each.startswith(name)]
    assert not [each for each in await other.metrics() if each.startswith(name)]
    assert {family.name for family in REGISTRY.collect()} == shared_by_all


async def test_a_services_own_family_is_in_its_metrics(serve: Any) -> None:
    each = service()
    each.metrics.counter("searches", "Searches.", ["kind"]).labels("flights").inc(3)
    assert (await (await serve(each)).metrics())['searches_total{kind="flights"}'] == 3


async def test_openmetrics_has_the_last_trace_of_each_bucket_as_its_exemplar(serve: Any) -> None:
    served = await serve(service())
    await served.client.get("/hello/a", headers={"traceparent": f"00-{'a' * 32}-{'1' * 16}-01"})
    await served.client.get("/hello/b", headers={"traceparent": f"00-{'b' * 32}-{'1' * 16}-01"})
    response = await served.management.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    families: Any = parse_openmetrics(response.text)  # type: ignore[no-untyped-call]
    (family,) = [each for each in families if each.name == "http_server_request_duration_seconds"]
    found = [sample.exemplar for sample in family.samples if sample.exemplar]
    assert {exemplar.labels["trace_id"] for exemplar in found} <= {"a" * 32, "b" * 32}
    assert "b" * 32 in {exemplar.labels["trace_id"] for exemplar in found}
    assert all(0.01 <= exemplar.value < 1 and time.time() - float(exemplar.timestamp) < 60 for exemplar in found)


async def test_the_plain_text_has_no_exemplars(serve: Any) -> None:
    served = await serve(service())
    await served.client.get("/hello/a")
    assert "trace_id" not in (await served.management.get("/metrics")).text


class Shared:
    """A collector of one family, that takes long to make where several meet."""

    meeting: threading.Barrier | None = None

    def __init__(self) -> None:
        self._gauge = Gauge("shared", "Of several.", registry=None)
        if self.meeting is not None:
            self.meeting.wait()

    def describe(self) -> Any:
        return self._gauge.describe()

    def collect(self) -> Any:
        return self._gauge.collect()


async def test_threads_that_ask_at_once_for_what_a_registry_has_not_yet_get_the_same() -> None:
    class Meeting(Shared):
        meeting = threading.Barrier(3, timeout=10)

    registry = CollectorRegistry()
    found = await asyncio.gather(*(asyncio.to_thread(shared_collector, registry, "shared", Meeting) for _ in range(3)))
    assert len(set(found)) == 1
    assert shared_collector(registry, "shared", Meeting) is found[0]


async def test_a_family_of_somebody_elses_is_not_taken_for_the_shared_one() -> None:
    registry = CollectorRegistry()
    Gauge("shared", "Somebody else's.", registry=registry)
    with pytest.raises(ValueError, match="shared"):
        shared_collector(registry, "shared", Shared)


def test_threads_that_ask_at_once_get_the_same_registry() -> None:
    metrics, together = Metrics(), threading.Barrier(4, timeout=5)

    def ask() -> object:
        together.wait()
        return metrics.registry

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(ask) for _ in range(4)]
    finally:
        sys.setswitchinterval(before)
    assert {id(each.result()) for each in asked} == {id(metrics.registry)}
