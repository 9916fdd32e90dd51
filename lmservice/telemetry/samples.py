"""The samples of a registry, a few at a time, whichever of its collectors fail.

prometheus_client's collectors make all samples of a family at once; a hundred thousand that live together make the
garbage collector look at all there is, for a tenth of a second. What its own kinds know of each set of labels is asked
for here one by one. A collector that raises costs its own samples, and no others.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics import MetricWrapperBase
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector
    from prometheus_client.samples import Sample


Series: TypeAlias = "tuple[Sequence[str], Iterable[Sample]]"
Note: TypeAlias = Callable[[str, Exception], None]
"""A function that is told which family could not be read, and why."""
T = TypeVar("T")


class LazyFamily(NamedTuple):
    """A family of metrics that makes its samples as they are asked for.

    Attributes:
        metric: what is said of the family; it holds no samples.
        samples: whole ones, of a collector that makes them all at once.
        labels: the names of the labels that its series share.
        series: of prometheus_client's own kinds: each set of label values, in the order of `labels`, with samples that
            lack the family's name and these labels.
        default: whether it is of prometheus_client's default registry, and not of the service's.
    """

    metric: "Metric"
    samples: "Iterable[Sample]"
    labels: tuple[str, ...] = ()
    series: Iterable[Series] = ()
    default: bool = False


def families(registry: "CollectorRegistry", note: Note | None = None) -> Iterator[LazyFamily]:
    """Yield every family, in the order in which the registry collects them.

    Args:
        registry: a service's, or any other.
        note: is told of failures; default the registry's own count of them, where it has one.
    """
    errors = getattr(registry, "errors", None)
    note = note or (errors.note if errors is not None else _ignore)
    for collector in _collectors(registry):
        yield from of_collector(collector, note)


def of_collector(collector: "Collector", note: Note) -> Iterator[LazyFamily]:
    """Yield the families of one collector."""
    from prometheus_client.metrics import MetricWrapperBase  # noqa: PLC0415 - costs every start what only a scrape needs

    if isinstance(collector, MetricWrapperBase) and type(collector).collect is MetricWrapperBase.collect:
        (metric,) = collector.describe()
        yield LazyFamily(metric, (), _labels(collector), _series(collector, note))
        return
    name = type(collector).__name__
    for metric in _until_it_fails(collector.collect, name, note):
        name = getattr(metric, "name", name)
        samples = list(_sound_ones(metric, name, note))
        yield LazyFamily(like(metric), samples)


def _ignore(_family: str, _error: Exception) -> None:
    """Do nothing: the registry counts no failures."""


def _until_it_fails(make: Callable[[], Iterable[T]], family: str, note: Note) -> Iterator[T]:
    try:
        items = iter(make())
        while True:
            try:
                item = next(items)
            except StopIteration:
                return
            yield item
    except Exception as error:  # noqa: BLE001 - a collector may raise anything
        note(family, error)


def _sound_ones(metric: "Metric", family: str, note: Note) -> "Iterator[Sample]":
    """Yield the samples that every encoder can write: a value that is no number is a failure."""
    for sample in metric.samples:
        try:
            yield _sound(sample)
        except Exception as error:  # noqa: BLE001 - a collector may give anything
            note(family, error)


def _sound(sample: "Sample") -> "Sample":
    value: Any = sample.value
    if type(value) is float and all(type(text) is str for text in sample.labels.values()):
        return sample
    if isinstance(value, str):
        raise TypeError(f"{sample.name} is {value!r}, which is text")
    value = float(value)
    return sample._replace(value=value, labels={name: str(text) for name, text in sample.labels.items()})


def _collectors(registry: "CollectorRegistry") -> "list[Collector]":
    """Return the registry's collectors, or itself where it has more to tell than they, or does not show them."""
    if registry.get_target_info():
        return [registry]
    return list(getattr(registry, "_collector_to_names", [registry]))


def _labels(collector: "MetricWrapperBase") -> tuple[str, ...]:
    """Return the labels of its series; it is the one series itself where it has values for them, or no labels."""
    return () if collector._labelvalues else tuple(collector._labelnames)  # noqa: SLF001 - told with all samples at once


def _series(collector: "MetricWrapperBase", note: Note) -> Iterator[Series]:
    children: dict[Any, Any] = {(): collector}
    if _labels(collector):
        with collector._lock:  # noqa: SLF001
            children = {**collector._metrics}  # noqa: SLF001
    for values, child in children.items():
        try:
            samples = tuple(child._samples())  # noqa: SLF001
        except Exception as error:  # noqa: BLE001 - a function of somebody's own, given to set_function
            note(collector._name, error)  # noqa: SLF001
        else:
            yield values, samples


def like(metric: "Metric", **changes: object) -> "Metric":
    """Return a copy of what is said of a family, without samples unless they are among the changes."""
    other = copy.copy(metric)
    vars(other).update({"samples": [], **changes})
    return other
