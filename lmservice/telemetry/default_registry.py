"""prometheus_client's default registry beside a service's: what libraries, and code that migrates, count there.

A family of lmservice's own that is in both is added up: a client that was opened outside of the service counts there.
Of any other in both the service's stays, which is told once. What is said of the process comes from the service alone.
"""

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lmservice import names
from lmservice.telemetry.samples import LazyFamily, families, of_collector

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.samples import Sample

    from lmservice.telemetry.registry import ServiceRegistry

_OF_THE_PROCESS = ("process_", "python_")
_OURS = frozenset(
    name.removesuffix("_total") for key, name in vars(names).items() if key.isupper() and isinstance(name, str)
)

_log = logging.getLogger("lmservice.metrics")


def all_families(registry: "CollectorRegistry") -> Iterator[LazyFamily]:
    """Yield the families of a service's registry and of the default one; of any other registry its own alone."""
    from prometheus_client import REGISTRY  # noqa: PLC0415 - costs every start what only a scrape needs

    from lmservice.telemetry.registry import ServiceRegistry  # noqa: PLC0415 - the same

    if not isinstance(registry, ServiceRegistry):
        yield from families(registry)
        return
    others = {family.metric.name: family for family in _of_default(REGISTRY, registry)}
    for family in families(registry):
        other = others.pop(family.metric.name, None)
        if other is None:
            yield family
        elif family.metric.name in _OURS and family.metric.type == other.metric.type:
            yield LazyFamily(family.metric, _added_up(family, other))
        else:
            registry.errors.tell_twofold(family.metric.name)
            yield family
    yield from others.values()


def _of_default(default: "CollectorRegistry", registry: "ServiceRegistry") -> Iterator[LazyFamily]:
    from prometheus_client.gc_collector import GCCollector  # noqa: PLC0415 - as above
    from prometheus_client.platform_collector import PlatformCollector  # noqa: PLC0415
    from prometheus_client.process_collector import ProcessCollector  # noqa: PLC0415

    for collector in list(default._collector_to_names):  # noqa: SLF001 - it offers no other way to read a few at a time
        if isinstance(collector, ProcessCollector | PlatformCollector | GCCollector):
            continue
        for family in of_collector(collector, registry.errors.note):
            if not family.metric.name.startswith(_OF_THE_PROCESS):
                yield family._replace(default=True)


def _added_up(first: LazyFamily, second: LazyFamily) -> "list[Sample]":
    """Return the samples of both, those with the same labels as one."""
    samples: dict[tuple[str, frozenset[tuple[str, str]]], Sample] = {}
    for family in (first, second):
        for sample in whole_samples(family):
            key = sample.name, frozenset(sample.labels.items())
            before = samples.get(key)
            value = sample.value if before is None or sample.name.endswith("_created") else before.value + sample.value
            samples[key] = (before or sample)._replace(value=value)
    return list(samples.values())


def whole_samples(family: LazyFamily) -> "Iterator[Sample]":
    """Yield the samples of a family with its name and all their labels."""
    yield from family.samples
    for values, samples in family.series:
        shared = dict(zip(family.labels, values, strict=True))
        for sample in samples:
            yield sample._replace(name=f"{family.metric.name}{sample.name}", labels={**shared, **sample.labels})
