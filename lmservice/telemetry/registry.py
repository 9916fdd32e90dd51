"""A service's registry of Prometheus metrics: one that a second run of the service may use again.

Loaded where somebody first asks for metrics, as prometheus_client costs every start what only a scrape needs.
"""

import logging
from collections import Counter
from time import time
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from lmservice import names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric

_log = logging.getLogger("lmservice.metrics")


class ServiceRegistry(CollectorRegistry):
    """A registry in which what an earlier run of the service registered gives way to the same of a later one.

    Attributes:
        errors: the collectors that have failed.
        run: the number of the run, which grows.
    """

    def __init__(self, run: int) -> None:
        super().__init__()
        self.errors = CollectorErrors()
        self.run = run
        self._runs: dict[Collector, int] = {}
        self.register(self.errors)

    def register(self, collector: Collector) -> None:
        """Add a collector.

        Raises:
            ValueError: one of this run has a family of the same name.
        """
        for earlier in self._in_its_way(collector):
            if self._runs.get(earlier, self.run) < self.run:
                self.unregister(earlier)
        if type(collector) is Gauge and collector._multiprocess_mode == "mostrecent":  # noqa: SLF001
            collector.__class__ = RecentGauge  # before it has children, which are of its class
        super().register(collector)
        self._runs[collector] = self.run

    def unregister(self, collector: Collector) -> None:
        """Take a collector away."""
        super().unregister(collector)
        self._runs.pop(collector, None)

    def _in_its_way(self, collector: Collector) -> set[Collector]:
        with self._lock:
            wanted = self._get_names(collector)  # type: ignore[no-untyped-call]
            return {self._names_to_collectors[name] for name in wanted if name in self._names_to_collectors}


class RecentGauge(Gauge):
    """A gauge that knows when it was set, so that of several workers' the most recent can be told.

    Attributes:
        moment: when, in seconds since the epoch; 0 where it never was.
    """

    moment = 0.0

    def set(self, value: float) -> None:
        """Set it."""
        super().set(value)
        self.moment = time()

    def inc(self, amount: float = 1) -> None:
        """Add to it."""
        super().inc(amount)
        self.moment = time()

    def dec(self, amount: float = 1) -> None:
        """Take from it."""
        super().dec(amount)
        self.moment = time()

    def moments(self) -> "dict[tuple[str, ...], float]":
        """Return when each of its series was set, by its label values."""
        with self._lock:
            children: dict[Any, Any] = dict(self._metrics) if self._labelnames else {(): self}
        return {tuple(values): child.moment for values, child in children.items()}


class CollectorErrors:
    """How often each family could not be read, and which are in two registries; each is told once."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._twofold: set[str] = set()

    def note(self, family: str, error: Exception) -> None:
        """Count a failure, and tell the family's first."""
        self._counts[family] += 1
        if self._counts[family] == 1:
            details = {"family": family, "error": f"{type(error).__name__}: {error}"}
            _log.error("lmservice.collector_failed", extra=details, exc_info=error)

    def tell_twofold(self, family: str) -> None:
        """Tell once that a family of prometheus_client's default registry is hidden by the service's."""
        if family not in self._twofold:
            self._twofold.add(family)
            hint = "the one of prometheus_client's default registry is not shown: give one of them another name"
            _log.warning("lmservice.metric_twice", extra={"family": family, "hint": hint})

    def describe(self) -> "Iterable[Metric]":
        """Give the family's name, for the registry."""
        return self.collect()

    def collect(self) -> "Iterable[Metric]":
        """Give what has been counted."""
        family = CounterMetricFamily(names.COLLECTOR_ERRORS, "Failed readings of a family.", labels=["family"])
        for name, count in list(self._counts.items()):
            family.add_metric([name], count)
        return [family]
