"""The text of a registry, made a few samples at a time.

prometheus_client's encoders say how a sample is written. What they would give in one piece comes in parts here, which
put together are the same bytes, as whatever is large takes the interpreter's lock from the service's event loop. Of
many series that share their labels, the encoder writes one line of each kind, and the others are made like it: that
takes a third of the time.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from lmservice.runtime import gil
from lmservice.telemetry.default_registry import all_families
from lmservice.telemetry.samples import LazyFamily, Series, like

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric
    from prometheus_client.samples import Sample

PART = 30
"""The number of samples that are made at once."""
CHUNK = 65_536
"""The size of what is sent at once, before compression, in bytes."""

_GZIP = 31
_APART = ("_created", "_gcount", "_gsum")
"""Samples of OpenMetrics that Prometheus' text has in gauges of their own, behind the family, in this order."""
_MARK = "\x00"
"""The stand-in for a label's value in a line that others are made like."""
_PLAIN = [None, None, None]
"""The timestamp, exemplar and native histogram of a sample that has none."""
_SHORT = 1e6
"""Numbers from 0 to less than this are written as Python writes them."""

Encode = Callable[[Any], bytes]


def content_type(accept: str) -> str:
    """Return the content type of what `render` gives for an `Accept` header; those with the same get the same."""
    from prometheus_client import exposition  # noqa: PLC0415 - as in render

    return exposition.choose_encoder(accept)[1]


def render(registry: "CollectorRegistry", accept: str, *, packed: bool) -> tuple[list[bytes], str]:
    """Return the body, in chunks, and its content type; to be called on a thread that may take its time.

    Args:
        registry: what to render.
        accept: the `Accept` header.
        packed: whether to compress it with gzip.
    """
    from prometheus_client import exposition  # noqa: PLC0415 - costs every start what only a scrape needs

    encode, kind = exposition.choose_encoder(accept)
    with gil.frequent_switches():
        chunks = list(_chunks(gil.yielding(_rendered(registry, encode))))
    return list(_compressed(chunks)) if packed else chunks, kind


def _rendered(registry: "CollectorRegistry", encode: Encode) -> Iterator[bytes]:
    end = encode(SingleFamily())  # OpenMetrics has one
    for family in all_families(registry):
        yield from _family(family, encode, end)
    yield end


def _family(family: LazyFamily, encode: Encode, end: bytes) -> Iterator[bytes]:
    here = _Text(family.metric, encode, end)
    names = [] if end else [f"{family.metric.name}{suffix}" for suffix in _APART]
    apart = {name: _Text(like(family.metric, name=name, type="gauge"), encode, end) for name in names}
    later: dict[str, list[bytes]] = {name: [] for name in names}
    yield here.head
    for name, lines in _lines(family, {"": here, **apart}):
        if name:
            later[name].append(lines)
        yield b"" if name else lines
    for name, parts in later.items():
        if parts:
            yield apart[name].head
            yield from parts


def _lines(family: LazyFamily, texts: "dict[str, _Text]") -> Iterator[tuple[str, bytes]]:
    """Yield some lines, and the name of the family that they go to where it is another one."""
    whole = iter(family.samples)
    while part := list(islice(whole, PART)):
        for name, text in texts.items():
            if mine := [sample for sample in part if (sample.name if sample.name in texts else "") == name]:
                yield name, text.lines(mine)
    series = _Series(family, texts)
    rest = iter(family.series)
    while lines := series.lines(rest):
        yield from lines.items()


class _Text:
    """One family's text: its head, and the lines of any of its samples."""

    def __init__(self, metric: "Metric", encode: Encode, end: bytes) -> None:
        self._metric, self._encode, self._end = metric, encode, end
        self.head = encode(SingleFamily(metric)).removesuffix(end)

    def lines(self, samples: "list[Sample]") -> bytes:
        text = self._encode(SingleFamily(like(self._metric, samples=samples)))
        return text.removeprefix(self.head).removesuffix(self._end)


class _Series:
    """The lines of a family's series, whose labels are the same but for their values."""

    def __init__(self, family: LazyFamily, texts: dict[str, _Text]) -> None:
        self._name, self._labels, self._texts = family.metric.name, family.labels, texts
        self._order = sorted(range(len(self._labels)), key=self._labels.__getitem__)  # in which they are written
        self._patterns: dict[tuple[Any, ...], str] = {}

    def lines(self, series: Iterator[Series]) -> dict[str, bytes]:
        """Return the lines of the next few series, by the family that they go to; none of them at the end."""
        lines: dict[str, list[str]] = {}
        count = 0
        for values, samples in series:
            escaped = [_escaped(values[index]) for index in self._order]
            for sample in samples:
                name = f"{self._name}{sample.name}"
                mine = lines.setdefault(name if name in self._texts else "", [])
                mine.append(self._line(sample, values, escaped))
                count += 1
            if count >= PART:
                break
        return {name: "".join(mine).encode(errors="replace") for name, mine in lines.items()}

    def _line(self, sample: "Sample", values: Sequence[str], escaped: list[str]) -> str:
        suffix, labels, value, *special = sample
        if special != _PLAIN:
            return self._written(sample, values)
        kind = (suffix, *labels.items())
        pattern = self._patterns.get(kind)
        if pattern is None:
            pattern = self._patterns[kind] = self._pattern(sample)
        return pattern % (*escaped, _number(value))

    def _pattern(self, sample: "Sample") -> str:
        line = self._written(sample._replace(value=0.0), (_MARK,) * len(self._labels))
        return line.removesuffix("0.0\n").replace("%", "%%").replace(_MARK, "%s") + "%s\n"

    def _written(self, sample: "Sample", values: Sequence[str]) -> str:
        """Return the line as the encoder writes it."""
        name = f"{self._name}{sample.name}"
        labels = {**dict(zip(self._labels, values, strict=True)), **sample.labels}
        text = self._texts.get(name, self._texts[""])
        return text.lines([sample._replace(name=name, labels=labels)]).decode()


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if 0 <= value < _SHORT:
        return repr(float(value))
    from prometheus_client.utils import floatToGoString  # noqa: PLC0415 - as in render

    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


class SingleFamily:
    """What an encoder takes for a registry: one family, or none."""

    def __init__(self, *families: "Metric") -> None:
        self._families = families

    def collect(self) -> "Iterable[Metric]":
        """Give what it was made with."""
        return self._families


def _chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
    gathered: list[bytes] = []
    size = 0
    for part in parts:
        gathered.append(part)
        size += len(part)
        if size >= CHUNK:
            yield b"".join(gathered)
            gathered.clear()
            size = 0
    yield b"".join(gathered)


def _compressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, wbits=_GZIP)
    yield from map(packer.compress, chunks)
    yield packer.flush()
