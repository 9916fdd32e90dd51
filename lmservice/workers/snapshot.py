"""What one worker has counted, as bytes: a line for each family, its name first, so that families are read singly."""

from collections.abc import Container, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pydantic_core import from_json, to_json

from lmservice.runtime import gil
from lmservice.telemetry.default_registry import all_families
from lmservice.telemetry.metrics import MERGES
from lmservice.telemetry.samples import families

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.samples import Exemplar

    from lmservice.telemetry.samples import LazyFamily

Moments: TypeAlias = dict[tuple[str, ...], float]
"""When each series of a gauge was set, in seconds since the epoch, by its label values."""
SampleOfOne: TypeAlias = "tuple[str, dict[str, str], float, Exemplar | tuple[dict[str, str], float, float] | None]"
PART = 30
"""How many samples are written at once."""


class Family(NamedTuple):
    """One family of one worker.

    Attributes:
        across: how the workers' gauges become one, a key of `MERGES`; '' where nobody has said.
        default: whether it is of prometheus_client's default registry alone.
        samples: each one's name, labels, value and exemplar (its labels, value and timestamp); the "exemplar" of a
            gauge of which the most recent counts says when it was set.
    """

    name: str
    documentation: str
    kind: str
    unit: str
    across: str
    default: bool
    samples: list[tuple[str, dict[str, str], float, list[Any] | None]]


def taken(registry: "CollectorRegistry", *, without: Container[str] = (), default: bool = True) -> bytes:
    """Return all that a registry tells now, `without` some families; for a thread that may take its time."""
    collected = all_families(registry) if default else families(registry)
    return b"".join(gil.yielding(_lines(collected, _across(registry), _moments(registry), without)))


def lines(snapshot: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield each family's name, and what `read` takes."""
    for line in snapshot.splitlines():
        name, _, rest = line.partition(b"\t")
        yield name.decode(), rest


def read(line: bytes) -> Family:
    """Return a family."""
    return Family(*from_json(line))


def written(family: Family) -> bytes:
    """Return a family as a line of a snapshot."""
    return family.name.encode() + b"\t" + to_json(family, inf_nan_mode="constants") + b"\n"


def _lines(
    collected: "Iterable[LazyFamily]", across: dict[str, str], moments: "dict[str, Moments]", without: Container[str]
) -> Iterator[bytes]:
    for family in collected:
        metric = family.metric
        if metric.name in without:
            continue
        members = [
            metric.name,
            metric.documentation,
            metric.type,
            metric.unit,
            across.get(metric.name, ""),
            family.default,
        ]
        yield metric.name.encode() + b"\t" + to_json(members)[:-1] + b",["
        yield from _parts(_samples(family, moments.get(metric.name, {})))
        yield b"]]\n"


def _samples(family: "LazyFamily", moments: "Moments") -> "Iterator[SampleOfOne]":
    for sample in family.samples:
        yield sample.name, sample.labels, sample.value, sample.exemplar
    for values, samples in family.series:
        shared = dict(zip(family.labels, values, strict=True))
        for sample in samples:
            exemplar = sample.exemplar if values not in moments else ({}, sample.value, moments[tuple(values)])
            yield f"{family.metric.name}{sample.name}", {**shared, **sample.labels}, sample.value, exemplar


def _parts(samples: "Iterator[SampleOfOne]") -> Iterator[bytes]:
    between = b""
    while part := list(islice(samples, PART)):
        yield between + to_json(part, fallback=str, inf_nan_mode="constants")[1:-1]
        between = b","


def _across(registry: "CollectorRegistry") -> dict[str, str]:
    """Return what gauges say of themselves, by prometheus_client's own word for it."""
    modes = {}
    for collector, names in _named_collectors(registry):
        mode = str(getattr(collector, "_multiprocess_mode", "")).removeprefix("live")
        if mode in MERGES:
            modes.update(dict.fromkeys(names, mode))
    return modes


def _moments(registry: "CollectorRegistry") -> "dict[str, Moments]":
    """Return when gauges were set of which the most recent counts."""
    by_family: dict[str, Moments] = {}
    for collector, names in _named_collectors(registry):
        moments = getattr(collector, "moments", None)
        if moments is not None:
            by_family.update(dict.fromkeys(names, moments()))
    return by_family


def _named_collectors(registry: "CollectorRegistry") -> "list[tuple[object, list[str]]]":
    from prometheus_client import REGISTRY  # noqa: PLC0415 - costs every start what only a scrape needs

    return [pair for one in (REGISTRY, registry) for pair in list(getattr(one, "_collector_to_names", {}).items())]
