"""A sample as a line of Graphite's plaintext protocol: `NAME VALUE TIME`, tagged or dotted.

prometheus_client's bridge writes such lines too. It makes one name of labels that differ in punctuation alone, of
which the last value stays; names buckets so that their bounds are no numbers; and writes lines that carbon cuts the
connection for, with all that follows. https://graphite.readthedocs.io/en/latest/feeding-carbon.html
"""

import hashlib
import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.samples import Sample

LONGEST = 16_384
"""The longest line that carbon takes, in bytes, without its end."""
_ODD = re.compile(r"[^a-zA-Z0-9_-]")
_NUMBERS = ("le", "quantile")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d+)?([eE][+-]?\d+)?|Inf)")
_OURS = ("service", "environment", "instance")

_log = logging.getLogger("lmservice.graphite")


class GraphiteLines:
    """Writes the lines of one service, and tells once of each name that cannot be written as it is.

    Args:
        prefix: what every name begins with; '' with dotted names is the service, its environment and its instance.
        tags: whether labels become tags, beside those of the service, or nodes of the name.
        fields: `service`, `environment` and `instance`.
    """

    def __init__(self, prefix: str, *, tags: bool, fields: Mapping[str, str]) -> None:
        own = {name: fields[name] for name in _OURS if fields.get(name)}
        if not prefix and not tags:
            prefix = ".".join(_ODD.sub("_", value) for value in own.values())
        self._prefix = f"{prefix}." if prefix else ""
        self._tags = tags
        self._own = {name: _ODD.sub("_", value) for name, value in own.items()} if tags else {}
        self._seen: dict[tuple[str, str], set[str]] = {}
        self._told: set[str] = set()

    def line(self, sample: "Sample", now: int) -> str:
        """Return the line of a finite sample, with its end; '' where it is too long for carbon."""
        labels = {name: self._clean(name, value) for name, value in sample.labels.items()}
        if self._tags:
            parts = "".join(f";{name}={value}" for name, value in sorted({**self._own, **labels}.items()))
        else:
            parts = "".join(f".{name}.{value}" for name, value in sorted(labels.items()))
        line = f"{self._prefix}{self._clean('', sample.name)}{parts} {float(sample.value)} {now}"
        if len(line) > LONGEST:
            self._tell_too_long(sample)
            return ""
        return f"{line}\n"

    def _clean(self, label: str, value: str) -> str:
        """Return a value in letters, digits, '_' and '-', which no other value of the label has."""
        if label in _NUMBERS and _NUMBER.fullmatch(value):
            number = value.removeprefix("+")
            return number if self._tags else _ODD.sub("_", number)
        cleaned = _ODD.sub("_", value)
        seen = self._seen.get((label, cleaned))
        if seen is None:
            self._seen[label, cleaned] = {value}
            return cleaned
        seen.add(value)
        if len(seen) == 1:
            return cleaned
        self._tell_twofold(label, cleaned, seen)
        return f"{cleaned}-{hashlib.sha256(value.encode()).hexdigest()[:8]}"

    def _tell_twofold(self, label: str, cleaned: str, seen: set[str]) -> None:
        if self._once(f"{label}={cleaned}"):
            details = {"label": label or "the name", "values": sorted(seen), "written": cleaned}
            hint = "each has a suffix of its own from now on"
            _log.warning("lmservice.graphite_names_collide", extra={**details, "hint": hint})

    def _tell_too_long(self, sample: "Sample") -> None:
        if self._once(sample.name):
            label, value = max(sample.labels.items(), key=lambda item: len(item[1]), default=("", ""))
            details = {"family": sample.name, "label": label, "length": len(value), "limit": LONGEST}
            _log.warning("lmservice.graphite_line_too_long", extra=details)

    def _once(self, what: str) -> bool:
        first = what not in self._told
        self._told.add(what)
        return first
