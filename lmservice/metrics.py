"""One registry of Prometheus metrics per service, and the families that every service has.

What can be read when somebody asks (the state, requests in flight, checks) is read then, by a collector, so that it
costs a request nothing. Names follow the OpenTelemetry semantic conventions as Prometheus spells them.
"""

import platform
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Histogram buckets, in seconds."""

Samples = Iterable[tuple[Sequence[str], float]]


class Metrics:
    """A service's registry; `counter`, `gauge` and `histogram` add families of the service's own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.request_duration = self.histogram(
            "http_server_request_duration_seconds",
            "Duration of HTTP requests, from the head's arrival to the end of the response, in seconds.",
            ("http_request_method", "http_route", "http_response_status_code"),
        )
        self.requests_rejected = self.counter(
            "lmservice_requests_rejected", "Requests refused by a limit, by its name.", ("reason",)
        )
        self._observed: dict[str, _Observed] = {}

    def counter(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
        """Adds a counter; its exposed name ends in `_total`."""
        return Counter(name, documentation, labels, registry=self.registry)

    def gauge(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
        """Adds a gauge."""
        return Gauge(name, documentation, labels, registry=self.registry)

    def histogram(
        self, name: str, documentation: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = BUCKETS
    ) -> Histogram:
        """Adds a histogram, of seconds by default."""
        return Histogram(name, documentation, labels, registry=self.registry, buckets=buckets)

    def observed(self, name: str, documentation: str, labels: Sequence[str], read: Callable[[], Samples]) -> None:
        """Adds a gauge that is read when it is scraped: `read` gives label values and the number of each.

        One of the same name takes the place of the one before, as when a service is run again in one process.
        """
        if name in self._observed:
            self.registry.unregister(self._observed.pop(name))
        self._observed[name] = _Observed(name, documentation, labels, read)
        self.registry.register(self._observed[name])

    def build_info(self, **labels: str) -> None:
        """Says once what runs: `lmservice_build_info`, always 1, with `labels`."""
        labels["python"] = platform.python_version()
        self.observed(
            "lmservice_build_info", "What runs, in the labels.", list(labels), lambda: [(list(labels.values()), 1)]
        )


class _Observed(Collector):
    def __init__(self, name: str, documentation: str, labels: Sequence[str], read: Callable[[], Samples]) -> None:
        self._name, self._documentation, self._labels, self._read = name, documentation, labels, read

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self._name, self._documentation, labels=self._labels)

    def describe(self) -> Iterable[Metric]:
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        family: Any = self._family()
        for values, number in self._read():
            family.add_metric(values, number)
        return [family]
