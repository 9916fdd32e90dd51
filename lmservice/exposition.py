"""The text of a registry, made a few samples at a time.

prometheus_client renders it. What it would give in one piece comes in parts here, which put together are the same
bytes, as whatever is large takes the interpreter's lock from the service's event loop: a hundred thousand samples that
live at once make the garbage collector look at all there is, for a tenth of a second.
"""

import copy
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from lmservice import gil

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector
    from prometheus_client.samples import Sample

PART = 30
"""How many samples live at once."""
CHUNK = 65_536
"""What is sent at once, before compression, in bytes."""

_GZIP = 31
_APART = ("_created", "_gcount", "_gsum")
"""Samples of OpenMetrics that Prometheus' text has in gauges of their own, behind the family, in this order."""

Encode = Callable[[Any], bytes]


def render(registry: "CollectorRegistry", accept: str, *, packed: bool) -> tuple[list[bytes], str]:
    """The body, in chunks, and its content type; to be called on a thread that may take its time.

    Args:
        registry: what to render.
        accept: the `Accept` header.
        packed: whether to compress it with gzip.
    """
    from prometheus_client import exposition  # noqa: PLC0415 - costs every start what only a scrape needs

    encode, kind = exposition.choose_encoder(accept)
    with gil.shared():
        chunks = list(_chunks(gil.paced(_rendered(registry, encode))))
    return list(_compressed(chunks)) if packed else chunks, kind


def families(registry: "CollectorRegistry") -> "Iterator[tuple[Metric, Iterable[Sample]]]":
    """Every family without its samples, and these, which prometheus_client's own kinds make one by one."""
    for collector in _collectors(registry):
        yield from _families(collector)


def _collectors(registry: "CollectorRegistry") -> "list[Collector]":
    """The registry's, or itself where it has more to tell than they, or does not show them."""
    if registry.get_target_info():
        return [registry]
    return list(getattr(registry, "_collector_to_names", [registry]))


def _families(collector: "Collector") -> "Iterator[tuple[Metric, Iterable[Sample]]]":
    from prometheus_client.metrics import MetricWrapperBase  # noqa: PLC0415 - as in render

    streams = getattr(type(collector), "collect", None) is MetricWrapperBase.collect
    if isinstance(collector, MetricWrapperBase) and streams and hasattr(collector, "_samples"):
        (family,) = collector.describe()
        yield family, _named(family.name, collector._samples())  # noqa: SLF001 - else it makes them all at once
        return
    for family in collector.collect():
        yield _like(family), family.samples


def _named(name: str, samples: "Iterable[Sample]") -> "Iterator[Sample]":
    from prometheus_client.samples import Sample  # noqa: PLC0415 - as in render

    for sample in samples:
        yield Sample(f"{name}{sample[0]}", *sample[1:])


def _rendered(registry: "CollectorRegistry", encode: Encode) -> Iterator[bytes]:
    end = encode(Only())  # OpenMetrics has one
    for family, samples in families(registry):
        yield from _family(family, samples, encode, end)
    yield end


def _family(family: "Metric", samples: "Iterable[Sample]", encode: Encode, end: bytes) -> Iterator[bytes]:
    here = _Text(family, encode, end)
    names = [] if end else [f"{family.name}{suffix}" for suffix in _APART]
    apart = {name: _Text(_like(family, name=name, type="gauge"), encode, end) for name in names}
    later: dict[str, list[bytes]] = {name: [] for name in names}
    yield here.head
    rest = iter(samples)
    while part := list(islice(rest, PART)):
        yield here.lines([sample for sample in part if sample.name not in apart])
        for name, text in apart.items():
            later[name].append(text.lines([sample for sample in part if sample.name == name]))
    for name, lines in later.items():
        if any(lines):
            yield apart[name].head
            yield from lines


class _Text:
    """One family's text: its head, and the lines of any of its samples."""

    def __init__(self, family: "Metric", encode: Encode, end: bytes) -> None:
        self._family, self._encode, self._end = family, encode, end
        self.head = encode(Only(family)).removesuffix(end)

    def lines(self, samples: "list[Sample]") -> bytes:
        if not samples:
            return b""
        text = self._encode(Only(_like(self._family, samples=samples)))
        return text.removeprefix(self.head).removesuffix(self._end)


class Only:
    """What an encoder takes for a registry: one family, or none."""

    def __init__(self, *families: "Metric") -> None:
        self._families = families

    def collect(self) -> "Iterable[Metric]":
        """Gives what it was made with."""
        return self._families


def _like(family: "Metric", **changes: Any) -> "Metric":
    """A copy of a family, without samples unless they are among the changes."""
    other = copy.copy(family)
    vars(other).update({"samples": [], **changes})
    return other


def _chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
    gathered: list[bytes] = []
    for part in parts:
        gathered.append(part)
        if sum(map(len, gathered)) >= CHUNK:
            yield b"".join(gathered)
            gathered.clear()
    yield b"".join(gathered)


def _compressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, wbits=_GZIP)
    yield from map(packer.compress, chunks)
    yield packer.flush()
