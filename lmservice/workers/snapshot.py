"""What one worker has counted, as bytes: a line for each family, its name first, so that families are read singly."""

from collections.abc import Container, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json, to_json

from lmservice.runtime import gil
from lmservice.telemetry.metrics import MERGES
from lmservice.telemetry.samples import families

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.samples import Exemplar

    from lmservice.telemetry.samples import LazyFamily

PART = 30
"""How many samples are written at once."""


class Family(NamedTuple):
    """One family of one worker.

    Attributes:
        across: how the workers' gauges become one, a key of `MERGES`; '' where nobody has said.
        samples: each one's name, labels, value and exemplar (its labels, value and timestamp).
    """

    name: str
    documentation: str
    kind: str
    unit: str
    across: str
    samples: list[tuple[str, dict[str, str], float, list[Any] | None]]


def taken(registry: "CollectorRegistry", *, without: Container[str] = ()) -> bytes:
    """Return all that a registry tells now, `without` some families; for a thread that may take its time."""
    return b"".join(gil.yielding(_lines(registry, _across(registry), without)))


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


def _lines(registry: "CollectorRegistry", across: dict[str, str], without: Container[str]) -> Iterator[bytes]:
    for family in families(registry):
        metric = family.metric
        if metric.name in without:
            continue
        said = [metric.name, metric.documentation, metric.type, metric.unit, across.get(metric.name, "")]
        yield metric.name.encode() + b"\t" + to_json(said)[:-1] + b",["
        yield from _parts(_samples(family))
        yield b"]]\n"


def _samples(family: "LazyFamily") -> "Iterator[tuple[str, dict[str, str], float, Exemplar | None]]":
    for each in family.samples:
        yield each.name, each.labels, each.value, each.exemplar
    for values, samples in family.series:
        shared = dict(zip(family.labels, values, strict=True))
        for each in samples:
            yield f"{family.metric.name}{each.name}", {**shared, **each.labels}, each.value, each.exemplar


def _parts(samples: "Iterator[tuple[str, dict[str, str], float, Exemplar | None]]") -> Iterator[bytes]:
    between = b""
    while part := list(islice(samples, PART)):
        yield between + to_json(part, fallback=str, inf_nan_mode="constants")[1:-1]
        between = b","


def _across(registry: "CollectorRegistry") -> dict[str, str]:
    """Return what gauges say of themselves, by prometheus_client's own word for it."""
    modes = {}
    for collector, names in list(getattr(registry, "_collector_to_names", {}).items()):
        mode = str(getattr(collector, "_multiprocess_mode", "")).removeprefix("live")
        if mode in MERGES:
            modes.update(dict.fromkeys(names, mode))
    return modes
