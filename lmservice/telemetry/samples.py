"""The samples of a registry, a few at a time.

prometheus_client's collectors make all samples of a family at once; a hundred thousand that live together make the
garbage collector look at all there is, for a tenth of a second. What its own kinds know of each set of labels is asked
for here one by one.
"""

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics import MetricWrapperBase
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector
    from prometheus_client.samples import Sample


Series: TypeAlias = "tuple[Sequence[str], Iterable[Sample]]"


class LazyFamily(NamedTuple):
    """A family of metrics that makes its samples as they are asked for.

    Attributes:
        metric: what is said of the family; it holds no samples.
        samples: whole ones, of a collector that makes them all at once.
        labels: the names of the labels that its series share.
        series: of prometheus_client's own kinds: each set of label values, in the order of `labels`, with samples that
            lack the family's name and these labels.
    """

    metric: "Metric"
    samples: "Iterable[Sample]"
    labels: tuple[str, ...] = ()
    series: Iterable[Series] = ()


def families(registry: "CollectorRegistry") -> Iterator[LazyFamily]:
    """Yield every family, in the order in which the registry collects them."""
    for collector in _collectors(registry):
        yield from _families(collector)


def _collectors(registry: "CollectorRegistry") -> "list[Collector]":
    """Return the registry's collectors, or itself where it has more to tell than they, or does not show them."""
    if registry.get_target_info():
        return [registry]
    return list(getattr(registry, "_collector_to_names", [registry]))


def _families(collector: "Collector") -> Iterator[LazyFamily]:
    from prometheus_client.metrics import MetricWrapperBase  # noqa: PLC0415 - costs every start what only a scrape needs

    if isinstance(collector, MetricWrapperBase) and type(collector).collect is MetricWrapperBase.collect:
        (metric,) = collector.describe()
        yield LazyFamily(metric, (), _labels(collector), _series(collector))
        return
    for metric in collector.collect():
        yield LazyFamily(like(metric), metric.samples)


def _labels(collector: "MetricWrapperBase") -> tuple[str, ...]:
    """Return the labels of its series; it is the one series itself where it has values for them, or no labels."""
    return () if collector._labelvalues else tuple(collector._labelnames)  # noqa: SLF001 - told with all samples at once


def _series(collector: "MetricWrapperBase") -> Iterator[Series]:
    if not _labels(collector):
        yield (), collector._samples()  # noqa: SLF001
        return
    with collector._lock:  # noqa: SLF001
        children = collector._metrics.copy()  # noqa: SLF001
    for values, child in children.items():
        yield values, child._samples()  # noqa: SLF001


def like(metric: "Metric", **changes: object) -> "Metric":
    """Return a copy of what is said of a family, without samples unless they are among the changes."""
    other = copy.copy(metric)
    vars(other).update({"samples": [], **changes})
    return other
