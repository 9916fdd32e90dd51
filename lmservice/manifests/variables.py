"""The environment of a container, as its manifest and the ConfigMaps beside it make it.

What comes from a Secret, a field of the pod or a ConfigMap that was not rendered has a name, but no value here: it is
not judged, and never shown.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lmservice.manifests.objects import Object, Path, mapping

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.\-][\w.\-]*)\)")


@dataclass(frozen=True, eq=False)
class Variable:
    """One variable.

    Attributes:
        value: its text, or what else was written; None where it is not known.
        object: what sets it.
        path: where in that.
    """

    name: str
    value: Any
    object: Object
    path: Path


class Variables:
    """Everything that a container's environment has from its manifest.

    Args:
        workload: the container's.
        container: where the container is in it.
        objects: what was rendered with it.
    """

    def __init__(self, workload: Object, container: Path, objects: Sequence[Object]) -> None:
        self._workload, self._container, self._objects = workload, container, objects

    @cached_property
    def all(self) -> list[Variable]:
        """Return all, in the order in which Kubernetes sets them: the last of one name counts."""
        return [*self._from_whole_maps(), *self._own()]

    @cached_property
    def by_name(self) -> dict[str, Variable]:
        """Return those that count, by their names."""
        return {variable.name: variable for variable in self.all}

    @cached_property
    def known(self) -> dict[str, str]:
        """Return the values that are known, with references to each other filled in."""
        values: dict[str, str] = {}
        for variable in self.all:
            values.pop(variable.name, None)
            text = self._filled(variable.value, values) if isinstance(variable.value, str) else _text(variable.value)
            if text is not None:
                values[variable.name] = text
        return values

    @property
    def complete(self) -> bool:
        """Return whether nothing else can set one: no Secret, no ConfigMap that was not rendered."""
        volumes = self._workload.entries(*self._container[:-2], "volumes")
        files = any(kind in volume for _, volume in volumes for kind in ("secret", "projected", "csi"))
        sources = self._workload.entries(*self._container, "envFrom")
        return not files and all(self.source(entry) is not None for _, entry in sources)

    def source(self, entry: Mapping[str, Any], reference: str = "configMapRef") -> Object | None:
        """Return the ConfigMap that an entry of `envFrom`, or a variable's `valueFrom`, names, if it was rendered."""
        name = mapping(entry.get(reference)).get("name")
        return next((config_map for config_map in self.maps() if config_map.name == name), None)

    def maps(self, kind: str = "ConfigMap") -> Iterator[Object]:
        """Return the ConfigMaps that were rendered for the same namespace."""
        return (manifest for manifest in self._objects if manifest.kind == kind and manifest.beside(self._workload))

    def _from_whole_maps(self) -> Iterator[Variable]:
        for _, entry in self._workload.entries(*self._container, "envFrom"):
            prefix, config_map = str(entry.get("prefix") or ""), self.source(entry)
            for key, value in (config_map.mapping("data") if config_map else {}).items():
                yield Variable(f"{prefix}{key}", value, config_map, ("data", str(key)))  # type: ignore[arg-type]
            yield from self._from_secret(entry, prefix)

    def _from_secret(self, entry: Mapping[str, Any], prefix: str) -> Iterator[Variable]:
        name = mapping(entry.get("secretRef")).get("name")
        for secret in self.maps("Secret"):
            for part in ("data", "stringData"):
                for key in secret.mapping(part) if secret.name == name else ():
                    yield Variable(f"{prefix}{key}", None, secret, (part, str(key)))

    def _own(self) -> Iterator[Variable]:
        for path, entry in self._workload.entries(*self._container, "env"):
            value = entry.get("value") if "value" in entry else self._referred(mapping(entry.get("valueFrom")))
            text = value if value is not None or "valueFrom" in entry else ""
            yield Variable(str(entry.get("name")), text, self._workload, path)

    def _referred(self, source: Mapping[str, Any]) -> Any:
        config_map = self.source(source, "configMapKeyRef")
        key = mapping(source.get("configMapKeyRef")).get("key")
        return config_map.mapping("data").get(str(key)) if config_map else None

    def _filled(self, text: str, values: Mapping[str, str]) -> str | None:
        """Replace `$(NAME)` in a value, as far as it is set before; None where what it refers to is not known."""
        if any(name in self.by_name and name not in values for name in _REFERENCE.findall(text) if name):
            return None
        return _REFERENCE.sub(lambda match: values.get(match[1], match[0]) if match[1] else "$", text)


def _text(value: Any) -> str | None:
    """Return what was written without quotes, as a person meant it."""
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
