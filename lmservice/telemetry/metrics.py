"""One registry of Prometheus metrics per service, and the families that every service has.

What can be read when somebody asks (the state, requests in flight, checks) is read then, by a collector, so that it
costs a request nothing; prometheus_client itself is loaded when somebody first asks, or adds a family of his own.
Names follow the OpenTelemetry semantic conventions as Prometheus spells them.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from functools import cached_property
from itertools import accumulate
from operator import itemgetter
from threading import RLock
from time import time
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from lmservice import names

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector

    from lmservice.telemetry.registry import ServiceRegistry

C = TypeVar("C", bound="Collector")

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Histogram buckets, in seconds."""

MultiprocessMode = Literal["sum", "min", "max", "mostrecent"]
"""The ways in which the gauges of several workers become one, in prometheus_client's words."""
MERGES: dict[str, Callable[[tuple[float, float]], float]] = {
    "sum": sum,
    "min": min,
    "max": max,
    "mostrecent": itemgetter(-1),
}
Samples = Iterable[tuple[Sequence[str], float]]


current: "ContextVar[Metrics | None]" = ContextVar("lmservice_metrics", default=None)
"""The metrics of the service running in this context; None outside of one."""


def current_registry() -> "CollectorRegistry":
    """Return the registry of the service that the code runs in, else prometheus_client's own."""
    here = current.get()
    if here is not None:
        return here.registry
    from prometheus_client import REGISTRY  # noqa: PLC0415 - costs every start what only a scrape needs

    return REGISTRY


def shared_collector(registry: "CollectorRegistry", name: str, kind: type[C]) -> C:
    """Return the collector of one kind in a registry, made and registered when it is first asked for.

    Args:
        registry: of a service, or prometheus_client's own.
        name: of a family that the collector has.
        kind: its class.

    Raises:
        ValueError: the registry has a family of that name that somebody else made.
    """
    known = registry._names_to_collectors  # noqa: SLF001 - the registry offers no other way to find one
    family = known.get(name)
    if isinstance(family, kind):
        return family
    made = kind()
    try:
        registry.register(made)
    except ValueError:
        family = known.get(name)
        if isinstance(family, kind):  # another thread was quicker
            return family
        raise
    return made


class Metrics:
    """A service's registry; `counter`, `gauge` and `histogram` add families of the service's own."""

    def __init__(self) -> None:
        self._run = 0
        self._gate = RLock()
        self._families: dict[str, _ScrapedFamily | Durations] = {}
        self.request_duration = Durations(
            names.REQUEST_DURATION,
            "Duration of HTTP requests, from the head's arrival to the end of the response, in seconds.",
            ("http_request_method", "http_route", "http_response_status_code"),
        )
        self._families[self.request_duration.name] = self.request_duration

    @cached_property
    def registry(self) -> "ServiceRegistry":
        """Return the registry, with the process's and the interpreter's own families."""
        with self._gate:  # from 3.12 on cached_property has none, and of two registries one would be lost
            if "registry" not in vars(self):
                vars(self)["registry"] = self._make_registry()
            registry: ServiceRegistry = vars(self)["registry"]
        return registry

    def _make_registry(self) -> "ServiceRegistry":
        from prometheus_client.gc_collector import GCCollector  # noqa: PLC0415 - costs every start what only a scrape needs
        from prometheus_client.platform_collector import PlatformCollector  # noqa: PLC0415
        from prometheus_client.process_collector import ProcessCollector  # noqa: PLC0415

        from lmservice.telemetry.registry import ServiceRegistry  # noqa: PLC0415

        registry = ServiceRegistry(self._run)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        for family in self._families.values():
            registry.register(family)
        return registry

    def begin_run(self) -> None:
        """Let what this run of the service registers take the place of the same of an earlier one."""
        with self._gate:
            self._run += 1
            if "registry" in vars(self):
                self.registry.run = self._run

    def counter(self, name: str, documentation: str, labels: Sequence[str] = ()) -> "Counter":
        """Add a counter; its exposed name ends in `_total`."""
        from prometheus_client import Counter  # noqa: PLC0415

        return Counter(name, documentation, labels, registry=self.registry)

    def gauge(
        self, name: str, documentation: str, labels: Sequence[str] = (), *, multiprocess_mode: MultiprocessMode = "sum"
    ) -> "Gauge":
        """Add a gauge; `multiprocess_mode` says what becomes of it where there are several workers."""
        if multiprocess_mode == "mostrecent":
            from lmservice.telemetry.registry import RecentGauge  # noqa: PLC0415 - costs every start what few need

            return RecentGauge(name, documentation, labels, registry=self.registry, multiprocess_mode="mostrecent")
        from prometheus_client import Gauge  # noqa: PLC0415

        return Gauge(name, documentation, labels, registry=self.registry, multiprocess_mode=multiprocess_mode)

    def histogram(
        self, name: str, documentation: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = BUCKETS
    ) -> "Histogram":
        """Add a histogram, of seconds by default."""
        from prometheus_client import Histogram  # noqa: PLC0415

        return Histogram(name, documentation, labels, registry=self.registry, buckets=buckets)

    def on_scrape(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        read: Callable[[], Samples],
        *,
        kind: Literal["gauge", "counter"] = "gauge",
        multiprocess_mode: MultiprocessMode = "sum",
    ) -> None:
        """Add a family that is read when it is scraped: `read` gives label values and the number of each.

        One of the same name takes the place of the one before, as when a service is run again in one process.
        """
        self._add(name, _ScrapedFamily(name, documentation, labels, read, kind, multiprocess_mode))

    def durations(self, name: str, documentation: str, labels: Sequence[str]) -> "Durations":
        """Add a histogram of seconds that lmservice itself observes; replace one of the same name, as `on_scrape`."""
        family = Durations(name, documentation, labels)
        self._add(name, family)
        return family

    def _add(self, name: str, family: "_ScrapedFamily | Durations") -> None:
        with self._gate:
            before = self._families.get(name)
            self._families[name] = family
            if "registry" in vars(self):
                if before is not None:
                    self.registry.unregister(before)
                self.registry.register(family)


class _ScrapedFamily:
    """A family whose samples are read at scrape time."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        read: Callable[[], Samples],
        kind: str,
        multiprocess_mode: MultiprocessMode,
    ) -> None:
        self._name, self._documentation, self._labels, self._read, self._kind = name, documentation, labels, read, kind
        self._multiprocess_mode = multiprocess_mode

    def describe(self) -> "Iterable[Metric]":
        return [self._family()]

    def collect(self) -> "Iterable[Metric]":
        family = self._family()
        for values, number in self._read():
            family.add_metric(values, number)
        return [family]

    def _family(self) -> Any:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415

        make = CounterMetricFamily if self._kind == "counter" else GaugeMetricFamily
        return make(self._name, self._documentation, labels=self._labels)


class Durations:
    """A histogram that every request can afford: one bisection and two additions, on one thread.

    Each bucket keeps the last trace that fell into it, as an exemplar.
    """

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self.name, self._documentation, self._labels = name, documentation, labels
        self._children: dict[tuple[str, ...], Child] = {}

    def child(self, *values: str) -> "Child":
        """Return the histogram of one set of label values, to be kept by whoever observes."""
        return self._children.setdefault(values, Child())

    def describe(self) -> "Iterable[Metric]":
        """Give its name, for the registry."""
        return [self._family()]

    def collect(self) -> "Iterable[Metric]":
        """Give what has been observed."""
        family = self._family()
        for values, child in list(self._children.items()):
            family.add_metric(values, child.buckets(), child.sum)
        return [family]

    def counts(self) -> "list[tuple[tuple[str, ...], tuple[int, ...]]]":
        """Return how many fell into each bucket, by label values; may be called from any thread."""
        return [(values, child.counts()) for values, child in list(self._children.items())]

    def _family(self) -> Any:
        from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415

        return HistogramMetricFamily(self.name, self._documentation, labels=self._labels)


_BOUNDS = (*map(str, BUCKETS), "+Inf")


class Child:
    """What has been observed with one set of label values."""

    __slots__ = ("_counts", "_exemplars", "sum")

    def __init__(self) -> None:
        self._counts = [0] * len(_BOUNDS)
        self._exemplars: list[tuple[str, float, float] | None] = [None] * len(_BOUNDS)
        self.sum = 0.0

    def observe(self, seconds: float, trace_id: str = "") -> None:
        """Count one duration, in seconds, and remember its trace."""
        bucket = bisect_left(BUCKETS, seconds)
        self._counts[bucket] += 1
        self.sum += seconds
        if trace_id:
            self._exemplars[bucket] = trace_id, seconds, time()

    def counts(self) -> tuple[int, ...]:
        """Return how many fell into each bucket."""
        return tuple(self._counts)

    def buckets(self) -> list[Any]:
        """Return upper bounds, cumulated counts and exemplars, as prometheus_client takes them."""
        from prometheus_client.samples import Exemplar  # noqa: PLC0415

        def exemplar(latest: tuple[str, float, float] | None) -> Any:
            return latest and Exemplar({"trace_id": latest[0]}, latest[1], latest[2])

        cumulated = zip(_BOUNDS, accumulate(self._counts), list(self._exemplars), strict=True)
        return [[bound, float(count), exemplar(latest)] for bound, count, latest in cumulated]
