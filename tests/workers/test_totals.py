"""Several registries told as one, and what becomes of each kind."""

import math
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Summary
from prometheus_client.openmetrics.exposition import generate_latest as open_metrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families

from lmservice.telemetry.exposition import render
from lmservice.telemetry.metrics import Metrics
from lmservice.workers import snapshot
from lmservice.workers.totals import Totals


class Workers:
    """Registries of workers, and their totals."""

    def __init__(self, count: int = 2) -> None:
        self.totals = Totals(Metrics())
        self.registries = {number: CollectorRegistry() for number in range(1, count + 1)}

    def tell(self) -> None:
        """Has each worker tell what it has counted."""
        for number, registry in self.registries.items():
            self.totals.take(number, snapshot.taken(registry))

    def replace(self, number: int) -> CollectorRegistry:
        """Has one end, and another come in its place."""
        self.totals.keep(number)
        self.registries[number] = CollectorRegistry()
        return self.registries[number]

    def samples(self) -> dict[str, float]:
        """What is told."""
        chunks, _ = render(self.totals, "", packed=False)  # type: ignore[arg-type]
        lines = b"".join(chunks).decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}


@pytest.fixture
def workers() -> Workers:
    return Workers()


def test_counters_histograms_and_summaries_are_summed(workers: Workers) -> None:
    for number, registry in workers.registries.items():
        Counter("c", "c", ["l"], registry=registry).labels("a").inc(number)
        Histogram("h", "h", buckets=(1, 2), registry=registry).observe(number)
        Summary("s", "s", registry=registry).observe(number)
    workers.tell()
    told = workers.samples()
    assert told['c_total{l="a"}'] == 3
    assert (told['h_bucket{le="1.0"}'], told['h_bucket{le="+Inf"}'], told["h_count"], told["h_sum"]) == (1, 2, 2, 3)
    assert (told["s_count"], told["s_sum"]) == (2, 3)


def test_label_values_that_one_worker_alone_has_are_told_too(workers: Workers) -> None:
    for number, registry in workers.registries.items():
        Counter("c", "c", ["l"], registry=registry).labels(f"{number}").inc(number)
    workers.tell()
    told = workers.samples()
    assert (told['c_total{l="1"}'], told['c_total{l="2"}']) == (1, 2)


@pytest.mark.parametrize(
    ("mode", "together"),
    [("all", 30), ("sum", 30), ("livesum", 30), ("min", 10), ("livemax", 20), ("max", 20), ("mostrecent", 20)],
)
def test_gauges_become_what_their_mode_says(workers: Workers, mode: Any, together: float) -> None:
    for number, registry in workers.registries.items():
        Gauge("g", "g", registry=registry, multiprocess_mode=mode).set(number * 10)
    workers.tell()
    assert workers.samples()["g"] == together


def test_what_says_something_of_the_service_stays_1(workers: Workers) -> None:
    for registry in workers.registries.values():
        Info("build", "b", registry=registry).info({"version": "1"})
    workers.tell()
    assert workers.samples()['build_info{version="1"}'] == 1


def test_counts_of_those_that_ended_are_kept_and_their_gauges_are_not(workers: Workers) -> None:
    for registry in workers.registries.values():
        Counter("c", "c", registry=registry).inc(5)
        Gauge("g", "g", registry=registry).set(5)
    workers.tell()
    for _ in range(3):
        Counter("c", "c", registry=workers.replace(1)).inc(2)
        assert workers.samples()["g"] == 5
        workers.tell()
        assert workers.samples()["g"] == 5
    assert workers.samples()["c_total"] == 5 + 5 + 3 * 2


def test_a_family_that_only_the_dead_had_is_still_told(workers: Workers) -> None:
    Counter("gone", "g", registry=workers.registries[1]).inc(7)
    workers.tell()
    workers.replace(1)
    workers.tell()
    assert workers.samples()["gone_total"] == 7
    assert workers.samples()["gone_total"] == 7


def test_what_a_worker_has_told_before_counts_until_it_tells_more(workers: Workers) -> None:
    counter = Counter("c", "c", registry=workers.registries[1])
    counter.inc(3)
    workers.tell()
    counter.inc(4)
    assert workers.samples()["c_total"] == 3
    workers.tell()
    assert workers.samples()["c_total"] == 7


def test_the_latest_exemplar_is_told_and_the_text_is_open_metrics(workers: Workers) -> None:
    for number, registry in workers.registries.items():
        counter = Counter("c", "c", registry=registry)
        counter.inc(1, exemplar={"trace_id": str(number)})
        Gauge("odd", "o", ["l"], registry=registry).labels('"\n\\').set(math.inf)
    workers.tell()
    text = open_metrics(workers.totals).decode()  # type: ignore[no-untyped-call]
    families = {family.name: family for family in open_families(text)}  # type: ignore[no-untyped-call]
    (total,) = [sample for sample in families["c"].samples if sample.name == "c_total"]
    assert total.exemplar is not None
    assert total.exemplar.labels == {"trace_id": "2"}
    assert families["odd"].samples[0].labels == {"l": '"\n\\'}
    assert families["odd"].samples[0].value == math.inf


def test_a_sum_began_when_its_first_part_did(workers: Workers) -> None:
    for registry in workers.registries.values():
        Counter("c", "c", registry=registry).inc()
    workers.tell()
    created = [
        sample.value
        for registry in workers.registries.values()
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "c_created"
    ]
    assert workers.samples()["c_created"] == min(created)
