"""Kubernetes objects as they were written: looked into without trusting their shape, and pointed at by line."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lmservice.manifests.finding import Finding

Path = tuple[str | int, ...]
"""The keys and positions that lead from an object to one of its fields."""


@dataclass(frozen=True, eq=False)
class Object:
    """One object.

    Attributes:
        file: where it was read.
        content: what it says.
        node: the same as YAML's nodes, which know their lines.
    """

    file: str
    content: Mapping[str, Any]
    node: Any

    @property
    def kind(self) -> str:
        """Return what kind of object it is."""
        return str(self.content["kind"])

    @property
    def name(self) -> str:
        """Return its name, or what the API server makes one from; '' where it has none."""
        return str(self.value("metadata", "name") or self.value("metadata", "generateName") or "")

    @property
    def namespace(self) -> str:
        """Return its namespace; '' where none is written."""
        return str(self.value("metadata", "namespace") or "")

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".rstrip()

    def beside(self, other: "Object") -> bool:
        """Return whether both may be in one namespace."""
        return self.namespace == other.namespace or not (self.namespace and other.namespace)

    def value(self, *path: str | int) -> Any:
        """Return what stands at a path; None where nothing does."""
        return dig(self.content, *path)

    def mapping(self, *path: str | int) -> Mapping[str, Any]:
        """Return the mapping at a path; empty where there is none."""
        return mapping(self.value(*path))

    def entries(self, *path: str | int) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """Yield each mapping of the list at a path, with the path to it."""
        for index, entry in enumerate(sequence(self.value(*path))):
            if isinstance(entry, Mapping):
                yield (*path, index), entry

    def finding(self, path: Path, value: Any, expected: str, fix: str) -> Finding:
        """Return a finding about one field of it."""
        return Finding(self.file, self._line(path), str(self), self._said(path), shown(value), expected, fix)

    def _line(self, path: Path) -> int:
        """Return the line of the field, or of the nearest thing around it that is written."""
        node, line = self.node, self.node.start_mark.line
        for step in path:
            if isinstance(step, int):
                inner = node.value[step] if isinstance(node.value, list) and step < len(node.value) else None
                line = inner.start_mark.line if inner is not None else line
            else:
                pairs = node.value if isinstance(node.value, list) else []
                key, inner = next((pair for pair in pairs if _is_pair_of(pair, step)), (None, None))
                line = key.start_mark.line if key is not None else line
            if inner is None:
                break
            node = inner
        return int(line) + 1

    def _said(self, path: Path) -> str:
        """Write a path as people do, list entries by their names where they have one."""
        text, here = "", self.content
        for step in path:
            here = dig(here, step)
            if isinstance(step, int):
                text += f"[{dig(here, 'name') or step}]"
            else:
                text += f".{step}" if "." not in step else f"[{step}]"
        return text.removeprefix(".")


def _is_pair_of(pair: Any, key: str) -> bool:
    return isinstance(pair, tuple) and pair[0].value == key


def dig(value: Any, *path: str | int) -> Any:
    """Return what stands at a path below a value; None where nothing does."""
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, Mapping) else None
    return value


def mapping(value: Any) -> Mapping[str, Any]:
    """Return the value where it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: Any) -> list[Any]:
    """Return the value where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def number(value: Any, default: float) -> float:
    """Return a number of a manifest: the API server's default where it is missing, 0 where it is none."""
    if value is None:
        return default
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0


def share(value: Any, default: Any, whole: float) -> float:
    """Return a number, or so many per cent of `whole`, as Kubernetes writes what may be either."""
    value = default if value is None else value
    if isinstance(value, str) and value.endswith("%") and value[:-1].isdigit():
        return whole * int(value[:-1]) / 100
    return number(value, 0)


def shown(value: Any) -> str:
    """Return a value as a finding says it."""
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def format_labels(labels: object) -> str:
    """Return labels as a finding says them."""
    return ", ".join(f"{key}={value}" for key, value in mapping(labels).items()) or "no label"


def selects(selector: Any, labels: Mapping[str, Any]) -> bool:
    """Return whether a label selector, with `matchLabels` and `matchExpressions`, picks what has these labels."""
    selector = mapping(selector)
    wanted = mapping(selector.get("matchLabels"))
    expressions = sequence(selector.get("matchExpressions"))
    return wanted.items() <= labels.items() and all(_holds(mapping(expression), labels) for expression in expressions)


def _holds(expression: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    here = labels.get(str(expression.get("key")))
    values = sequence(expression.get("values"))
    verdicts = {
        "In": here in values,
        "NotIn": here not in values,
        "Exists": here is not None,
        "DoesNotExist": here is None,
    }
    return verdicts.get(str(expression.get("operator")), False)
