"""A service's registry beside prometheus_client's default one, and in a second run of the service."""

from typing import Any

import httpx
import prometheus_client
import pytest
from prometheus_client import REGISTRY, Counter, Gauge

from lmservice import Service
from lmservice.telemetry.metrics import Metrics
from lmservice.testing import running
from lmservice.workers import snapshot
from lmservice.workers.totals import Totals

pytestmark = pytest.mark.anyio


async def metrics_of(service: Service) -> list[str]:
    async with running(service, log_level="CRITICAL") as served, httpx.AsyncClient() as client:
        return (await client.get(f"{served.management_url}/metrics")).text.splitlines()


async def test_metrics_has_the_default_registry_as_well_and_the_process_once() -> None:
    Counter("legacy_orders", "Orders.", ["kind"]).labels("book").inc(3)
    lines = await metrics_of(Service("shop", routes=[]))
    assert 'legacy_orders_total{kind="book"} 3.0' in lines
    for name in ("process_cpu_seconds_total ", "python_info{", "process_max_fds "):
        assert len([line for line in lines if line.startswith(name)]) == 1


async def test_a_family_of_lmservices_own_that_is_in_both_is_added_up() -> None:
    service = Service("shop", routes=[])
    for registry in (REGISTRY, service.metrics.registry):
        retries = Counter("lmservice_retries", "Retries.", ["name"], registry=registry)
        retries.labels("both").inc(2)
    retries.labels("of the service").inc(1)
    lines = await metrics_of(service)
    assert 'lmservice_retries_total{name="both"} 4.0' in lines
    assert 'lmservice_retries_total{name="of the service"} 1.0' in lines


async def test_of_any_other_family_in_both_the_services_stays_which_is_told_once(logged: Any) -> None:
    service = Service("shop", routes=[])
    Gauge("queue_length", "Length.").set(1)
    service.metrics.gauge("queue_length", "Length.").set(2)
    async with running(service, log_format="json") as served, httpx.AsyncClient() as client:
        texts = [(await client.get(f"{served.management_url}/metrics")).text for _ in range(3)]
    assert [line for line in texts[0].splitlines() if line.startswith("queue_length ")] == ["queue_length 2.0"]
    assert [line["family"] for line in logged("lmservice.metric_twice")] == ["queue_length"]


async def test_a_service_runs_a_second_time_in_one_process_with_the_families_of_its_start_up_jobs() -> None:
    service = Service("shop", routes=[])

    @service.startup_job
    async def families(_state: Any) -> None:
        service.metrics.counter("orders", "Orders.").inc()
        prometheus_client.Gauge("queue", "Queue.", registry=service.metrics.registry).set(5)

    for _ in range(3):
        lines = await metrics_of(service)
        assert ("orders_total 1.0" in lines, "queue 5.0" in lines) == (True, True)


def test_two_families_of_one_name_in_one_run_are_still_refused() -> None:
    metrics = Metrics()
    metrics.begin_run()
    metrics.counter("orders", "Orders.")
    with pytest.raises(ValueError, match="orders"):
        metrics.counter("orders", "Orders.")
    metrics.begin_run()
    metrics.counter("orders", "Orders.")


@pytest.mark.parametrize("direct", [False, True])
def test_the_most_recent_gauge_of_several_workers_is_the_one_that_was_set_last(*, direct: bool) -> None:
    workers = {number: Metrics() for number in (1, 2, 3)}
    gauges = {}
    for number, metrics in workers.items():
        mode: Any = {"multiprocess_mode": "mostrecent"}
        if direct:
            gauges[number] = Gauge("version", "V.", ["of"], registry=metrics.registry, **mode)
        else:
            gauges[number] = metrics.gauge("version", "V.", ["of"], **mode)
    for number in (3, 1, 2, 1):
        gauges[number].labels("data").set(number * 10)
    totals = Totals(Metrics())
    for number, metrics in workers.items():
        totals.take(number, snapshot.taken(metrics.registry))
    (family,) = [each for each in totals.collect() if each.name == "version"]
    assert [(sample.value, sample.exemplar) for sample in family.samples] == [(10.0, None)]


def test_of_workers_each_ones_default_registry_is_merged_and_not_pushed() -> None:
    Counter("legacy_orders", "Orders.").inc(3)
    totals = Totals(Metrics())
    for number in (1, 2):
        totals.take(number, snapshot.taken(Metrics().registry))
    found = {each.name: each.samples[0].value for each in totals.collect() if each.samples}
    assert found["legacy_orders"] == 6
    assert "legacy_orders" not in {each.name for each in totals.of_service().collect()}


def test_a_worker_goes_on_counting_whatever_a_collector_does() -> None:
    metrics, totals = Metrics(), Totals(Metrics())
    metrics.gauge("broken", "B.").set_function(lambda: 1 / 0)
    counter = metrics.counter("orders", "Orders.")
    for expected in (1.0, 2.0):
        counter.inc()
        totals.take(1, snapshot.taken(metrics.registry))
        found = {each.name: each.samples[0].value for each in totals.collect() if each.samples}
        assert found["orders"] == expected
    errors = [each for each in totals.collect() if each.name == "lmservice_collector_errors"]
    assert {sample.labels["family"] for each in errors for sample in each.samples} == {"broken"}
