"""The workers' metrics as one: counters and histograms summed up, and kept when a worker dies; gauges as they allow.

A gauge is summed, unless its family says otherwise (`multiprocess_mode`, as prometheus_client calls it): the least,
the most, or that of the last. What a worker had counted since its last snapshot dies with one that is killed; what
has been told once is never taken back.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from lmservice import names
from lmservice.runtime import gil
from lmservice.telemetry.metrics import MERGES, Metrics
from lmservice.workers import snapshot
from lmservice.workers.snapshot import Family

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

Answer: TypeAlias = tuple[str, str, str]
"""A method, a route and a status."""
CUMULATIVE = frozenset(("counter", "histogram", "summary", "gaugehistogram"))
_OF_OTHERS = {
    "process_start_time_seconds": "min",
    "process_max_fds": "min",
    "python_info": "max",
}
"""Gauges of prometheus_client itself that a sum would make nonsense of."""


class Totals:
    """What prometheus_client's encoders and bridge take for a registry: all workers' families and the supervisor's.

    Attributes:
        answered: how many requests of each kind those had answered that have ended.
    """

    def __init__(self, own: Metrics) -> None:
        self.answered: Counter[Answer] = Counter()
        self._own = own
        self._lock = threading.Lock()
        self._live: dict[int, bytes] = {}
        self._dead: list[bytes] = []
        self._folding = threading.Lock()

    def take(self, worker: int, counts: bytes) -> None:
        """Note what a worker has counted by now."""
        with self._lock:
            self._live[worker] = counts

    def keep(self, worker: int) -> None:
        """Keep what a worker had counted that has ended; another may take its number."""
        with self._lock:
            if counts := self._live.pop(worker, b""):
                self._dead.append(counts)
        self.answered = self.answered + answered(counts)  # anew, as it is read on another thread

    def get_target_info(self) -> None:
        """Return none, as there is no target info."""

    def of_service(self) -> "ServiceTotals":
        """Return the same without what the workers have in prometheus_client's default registry."""
        return ServiceTotals(self)

    def collect(self, *, default: bool = True) -> "Iterator[Metric]":
        """Yield every family of any worker, one after another; on a thread that may take its time."""
        self._fold()
        own = snapshot.taken(self._own.registry, default=False)  # the supervisor serves nothing
        with self._lock:
            dead, live = _by_name(self._dead), _by_name([own, *self._live.values()])
        for name in {**live, **dead}:
            kept = [family for family in map(snapshot.read, dead.get(name, ())) if family.kind in CUMULATIVE]
            families = kept + list(map(snapshot.read, live.get(name, ())))
            if families and (default or not families[0].default):
                yield _metric(merged(families))

    def _fold(self) -> None:
        """Make one of the snapshots of those that have died, so that they do not pile up."""
        with self._folding:
            with self._lock:
                dead = list(self._dead)
            if not dead:
                return
            families = [merged([snapshot.read(line) for line in lines]) for lines in _by_name(dead).values()]
            kept = b"".join(snapshot.written(family) for family in families if family.kind in CUMULATIVE)
            with self._lock:
                self._dead[: len(dead)] = [kept]


class ServiceTotals:
    """What is pushed to Graphite: the families of the service's own registries."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals

    def get_target_info(self) -> None:
        """Return none, as there is no target info."""

    def collect(self) -> "Iterator[Metric]":
        """Yield every such family."""
        return self._totals.collect(default=False)


def answered(counts: bytes) -> Counter[Answer]:
    """Return how many requests of each kind a worker had answered, by what it has counted."""
    numbers: Counter[Answer] = Counter()
    for line in (line for name, line in snapshot.lines(counts) if name == names.REQUEST_DURATION):
        for name, labels, value, _ in snapshot.read(line).samples:
            if name == f"{names.REQUEST_DURATION}_count":
                kind = labels["http_request_method"], labels["http_route"], labels["http_response_status_code"]
                numbers[kind] += int(value)
    return numbers


def _by_name(snapshots: Iterable[bytes]) -> dict[str, list[bytes]]:
    by_name: dict[str, list[bytes]] = {}
    for lines in snapshots:
        for name, line in snapshot.lines(lines):
            by_name.setdefault(name, []).append(line)
    return by_name


def merged(families: list[Family]) -> Family:
    """Return one family of several of one name and kind; those of another kind than the first are left out."""
    first = families[0]
    across = next((family.across for family in families if family.across), _OF_OTHERS.get(first.name, ""))
    samples: dict[tuple[str, ...], list[Any]] = {}
    for family in families:
        if family.kind != first.kind:
            continue
        for name, labels, value, exemplar in gil.yielding(family.samples):
            key = (name, *(part for label in sorted(labels.items()) for part in label))
            before = samples.get(key)
            if before is None:
                samples[key] = [name, labels, value, exemplar]
            else:
                before[2] = (
                    max((exemplar, value), (before[3], before[2]), key=lambda set_at: _moment(set_at[0]))[1]
                    if across == "mostrecent"
                    else _combine(first.kind, name, labels, across)((before[2], value))
                )
                before[3] = max(before[3] or exemplar, exemplar or before[3], key=_moment)
    return first._replace(across=across, samples=list(samples.values()))  # type: ignore[arg-type]


def _combine(kind: str, name: str, labels: Mapping[str, str], across: str) -> Any:
    if kind in CUMULATIVE:
        if name.endswith("_created"):
            return min
        return max if "quantile" in labels and kind == "summary" else sum
    if kind in ("info", "stateset"):
        return max
    return MERGES[across or "sum"]


def _moment(exemplar: list[Any] | None) -> float:
    return (exemplar[2] or 0.0) if exemplar else 0.0


def _metric(family: Family) -> "Metric":
    from prometheus_client.metrics_core import Metric  # noqa: PLC0415 - costs every start what only a scrape needs
    from prometheus_client.samples import Exemplar  # noqa: PLC0415

    metric = Metric(family.name, family.documentation, family.kind)
    metric.unit = family.unit
    for name, labels, value, exemplar in family.samples:
        gauge = family.kind == "gauge"  # whose exemplar says when it was set
        metric.add_sample(name, labels, value, exemplar=Exemplar(*exemplar) if exemplar and not gauge else None)
    return metric
