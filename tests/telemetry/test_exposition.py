"""The parts of a rendering are, put together, what prometheus_client gives in one piece."""

import gzip
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, Summary
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    StateSetMetricFamily,
    UnknownMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.platform_collector import PlatformCollector

from lmservice.runtime import gil
from lmservice.telemetry.exposition import CHUNK, PART, render
from lmservice.telemetry.registry import ServiceRegistry

ACCEPTS = [
    "",
    "text/plain;version=0.0.4",
    "text/plain;version=1.0.0;escaping=allow-utf-8",
    "text/plain;version=1.0.0;escaping=dots",
    "application/openmetrics-text",
    "application/openmetrics-text;version=1.0.0",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
    "application/openmetrics-text;version=1.0.0;escaping=values",
    "application/openmetrics-text;version=2.0.0;escaping=allow-utf-8",
]
EXEMPLAR = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}


class Custom:
    """Families of every kind, empty ones, and the same objects each time."""

    def __init__(self) -> None:
        unknown = UnknownMetricFamily("unknown_kind", "With a timestamp.", labels=["a"])
        unknown.add_metric(["b"], 1, timestamp=123.456)
        quantiles = GaugeHistogramMetricFamily("sizes", "Sizes.", labels=["a"])
        for number in range(PART):
            quantiles.add_metric([str(number)], [("1", 2.0), ("+Inf", 3.0)], 4.0)
        stranger = GaugeMetricFamily("stranger", "A gauge with samples of other names.")
        stranger.add_sample("stranger", {}, 1)
        stranger.add_sample("stranger_created", {}, 2)
        stranger.add_sample("else", {}, 3)
        self._families = [
            GaugeMetricFamily("empty", "Nothing."),
            unknown,
            quantiles,
            stranger,
            CounterMetricFamily("custom", "Custom.", value=5, created=1.5),
            HistogramMetricFamily("h", "H.", buckets=[("1", 1), ("+Inf", 2)], sum_value=3),
            InfoMetricFamily("about", "About.", {"version": "1"}),
            StateSetMetricFamily("state", "State.", {"up": True, "down": False}),
            GaugeMetricFamily("named.with.dots", "ünï\\code\n.", value=1, unit="seconds"),
        ]

    def collect(self) -> Iterator[Any]:
        yield from self._families


class Own(Gauge):
    """A gauge that collects as it likes."""

    def collect(self) -> Any:
        family = GaugeMetricFamily("own", "Own.")
        family.add_metric([], 7)
        return [family]


def registry(**options: Any) -> CollectorRegistry:
    made = CollectorRegistry(**options)
    counter = Counter("orders", "Orders.", ["kind"], registry=made)
    for number in range(3 * PART // 2):
        counter.labels(f"{number}").inc(number, EXEMPLAR if number % 7 == 0 else None)
    counter.labels('a "quoted" \\ back\nslash').inc(1e20)
    counter.labels("100 % {}").inc(5e-7)
    counter.labels("millions").inc(1_234_567)
    Counter("dotted.requests", "Dotted.", ["b.c", "a"], registry=made).labels("1", "2").inc()
    gauge = Gauge("stock", "Stock.", ["shop", "a"], unit="items", registry=made)
    for number in range(PART):
        gauge.labels(f"{number}", "").set(float("nan") if number == 3 else number / 3)
    Gauge("none", "No children.", ["a"], registry=made)
    Gauge("lone", "A lone one.", registry=made).set(float("-inf"))
    histogram = Histogram("picking_seconds", "Picking.", ["step"], registry=made)
    for number in range(PART // 3):
        histogram.labels(f"{number}").observe(number, EXEMPLAR)
    Summary("size", "Size.", ["a"], registry=made).labels("b").observe(2)
    Info("build", "Build.", registry=made).info({"version": "1"})
    Enum("mode", "Mode.", states=["on", "off"], registry=made).state("off")
    Own("own", "Own.", registry=made)
    made.register(Custom())
    PlatformCollector(registry=made)
    return made


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("accept", ACCEPTS)
def test_the_parts_are_the_whole(accept: str, packed: bool) -> None:  # noqa: FBT001
    each = registry()
    encode, kind = choose_encoder(accept)
    for _ in range(2):
        chunks, said = render(each, accept, packed=packed)
        body = b"".join(chunks)
        assert (gzip.decompress(body) if packed else body) == encode(each)
        assert said == kind


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text;version=1.0.0"])
def test_an_empty_registry_is_empty_and_one_with_target_info_has_it(accept: str) -> None:
    encode, _ = choose_encoder(accept)
    for each in (CollectorRegistry(), registry(target_info={"env": "qa"})):
        assert b"".join(render(each, accept, packed=False)[0]) == encode(each)


def test_open_metrics_end_once() -> None:
    body = b"".join(render(registry(), "application/openmetrics-text;version=1.0.0", packed=False)[0])
    assert body.count(b"# EOF\n") == 1
    assert body.endswith(b"# EOF\n")


def test_a_label_that_is_no_text_does_not_take_the_rest_away() -> None:
    each = CollectorRegistry()
    Gauge("files", "Files.", ["name"], registry=each).labels("a\udcffb").set(1)
    assert b'files{name="a?b"} 1.0\n' in b"".join(render(each, "", packed=False)[0])


def test_chunks_are_small() -> None:
    each = CollectorRegistry()
    gauge = Gauge("many", "Many.", ["a"], registry=each)
    for number in range(5000):
        gauge.labels(f"{number:0100}").set(number)
    chunks, _ = render(each, "", packed=False)
    assert len(chunks) > 5
    assert max(map(len, chunks)) < 2 * CHUNK


def test_a_collector_that_fails_costs_its_own_samples_and_no_others() -> None:
    class Broken:
        def collect(self) -> Any:
            yield GaugeMetricFamily("before", "B.", value=1)
            raise OSError("no such table")

    each = ServiceRegistry(1)
    each.register(Broken())
    family = GaugeMetricFamily("numbers", "N.", labels=["which"])
    for number, value in enumerate([1, None, "2", 10**400, 5]):
        family.add_metric([str(number)], value)  # type: ignore[arg-type]
    each.register(Collecting(family))
    gauge = Gauge("free", "F.", ["pool"], registry=each)
    gauge.labels("a").set(1)
    gauge.labels("b").set_function(lambda: 1 / 0)
    gauge.labels("c").set(3)
    for accept in ACCEPTS:
        render(each, accept, packed=False)
    text = b"".join(render(each, "", packed=False)[0]).decode()
    wanted = [
        "before 1.0",
        'numbers{which="0"} 1.0',
        'numbers{which="4"} 5.0',
        'free{pool="a"} 1.0',
        'free{pool="c"} 3.0',
    ]
    assert set(wanted) <= set(text.splitlines())
    assert not [line for line in text.splitlines() if 'pool="b"' in line or 'which="1"' in line]
    text = b"".join(render(each, "", packed=False)[0]).decode()
    errors = [line.split("} ")[0] for line in text.splitlines() if line.startswith("lmservice_collector_errors_total{")]
    assert errors == [f'lmservice_collector_errors_total{{family="{name}"' for name in ("Broken", "numbers", "free")]


class Collecting:
    """A collector of one family."""

    def __init__(self, family: Any) -> None:
        self._family = family

    def collect(self) -> Any:
        return [self._family]


def test_the_lock_is_handed_over_more_often_while_somebody_renders_and_no_longer() -> None:
    before = sys.getswitchinterval()
    with gil.frequent_switches():
        assert sys.getswitchinterval() == pytest.approx(gil.INTERVAL)
    assert sys.getswitchinterval() == before


def test_those_that_compute_take_turns() -> None:
    order: list[str] = []

    def compute() -> None:
        with gil.frequent_switches():
            order.append("second")

    with gil.frequent_switches():
        second = threading.Thread(target=compute)
        second.start()
        second.join(0.05)
        order.append("first")
    second.join()
    assert order == ["first", "second"]
