"""The problems of settings, told in a line each without showing a secret."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from lmservice.errors import MASK
from lmservice.settings.fields import type_name
from lmservice.settings.masking import masked
from lmservice.settings.nesting import resolve
from lmservice.settings.stop_budget import BUDGET, contradictions
from lmservice.settings.variables import field_names, linked_service, misspelt, variable

_SHORTEST_SECRET = 3
"""The length below which parts of secrets are not looked for in messages, in characters."""

_LINKED = (
    "is not a port but what Kubernetes tells of a Service named {service}: set enableServiceLinks: false in the pod, "
    "or the variable in the container's env"
)


class Problems:
    """What is wrong with settings, of which nothing is shown that is not plainly harmless.

    Args:
        cls: the settings.
        origins: by each field's name the source of its value.
        values: what the sources gave.
        present: the names of the variables that there are.
    """

    def __init__(
        self, cls: type[BaseSettings], origins: Mapping[str, str], values: Mapping[str, Any], present: Iterable[str]
    ) -> None:
        self._cls = cls
        self._present = {name.upper() for name in present}
        self._origins = origins
        self._fields = field_names(cls)
        self._values = values
        self._secrets = self._find_secrets(values)

    def of(self, error: ValidationError) -> list[str]:
        """Return a line for each problem, and one for the sum of the drain where its parts are well."""
        entries: list[dict[str, Any]] = [dict(entry) for entry in error.errors(include_url=False)]
        lines = list(dict.fromkeys(self._line(entry) for entry in entries))
        if {self._name(entry) for entry in entries}.isdisjoint(BUDGET):
            fields = self._cls.model_fields
            lines += contradictions({name: self._values.get(name, fields[name].default) for name in BUDGET})
        return lines

    def _name(self, entry: Mapping[str, Any]) -> str:
        first = str(entry["loc"][0]) if entry["loc"] else ""
        return self._fields.get(first.lower(), first)

    def _line(self, entry: Mapping[str, Any]) -> str:
        name = self._name(entry)
        outer = self._cls.model_fields.get(name)
        if outer is None:
            return self._scrubbed(str(entry["msg"]))
        inner = [str(part) for part in entry["loc"][1:]]
        label, field, inside = self._innermost(name, outer, inner)
        if entry["type"] == "missing" and not inside:
            return f"{label}: is required ({type_name(field.annotation)}): set it in the environment{self._hint(label)}"
        where = f"(from {self._origins.get(name, 'default')}; expected {_expected(field)})"
        if service := linked_service(label, entry["input"]):
            return f"{label}: {entry['input']!r}: {_LINKED.format(service=service)} {where}"
        kinds = f"{outer.annotation} {field.annotation}"
        if any(masked(part, "x", kinds) != "x" for part in (name, *inner)):
            return f"{label}: is not allowed here {where}"
        path = self._scrubbed("".join(f"[{part}]" for part in inside if part.isidentifier() or part.isdigit()))
        shown = masked(name, entry["input"])
        message = self._scrubbed(_without_unit(field, entry["input"]) or _lower(entry["msg"]))
        return f"{label}{path}: {f'{shown!r}: ' if shown == entry['input'] else ''}{message} {where}"

    def _innermost(self, name: str, field: FieldInfo, path: list[str]) -> tuple[str, FieldInfo, list[str]]:
        """Return the variable at fault, its field, and what is left of the path: of JSON it is the whole setting's."""
        label = variable(self._cls, name)
        if label in self._present:
            return label, field, path
        inner, steps = resolve(self._cls, label, field, path)
        return inner.variable, inner.field, path[steps:]

    def _hint(self, label: str) -> str:
        near = [name for name, nearest in misspelt(self._cls).items() if nearest == label]
        return f" ({near[0]} is set, which no setting reads)" if near else ""

    def _find_secrets(self, values: Mapping[str, Any]) -> set[str]:
        """Find the values that are not shown, and what they are made of."""
        secrets: set[str] = set()
        for name, value in values.items():
            field = self._cls.model_fields.get(self._fields.get(name.lower(), name))
            if masked(name, value, field.annotation if field else None) != value:
                secrets |= {str(value), *re.split(r"[^\w.$!-]+", re.sub(r"^[a-z+]+://", "", str(value)))}
        return {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}

    def _scrubbed(self, message: str) -> str:
        """Return a message, which a validator of the service's own may have written, without any secret."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            message = message.replace(secret, MASK)
        return message


def _expected(field: FieldInfo | None) -> str:
    if field is None:
        return "another value"
    limits = {name: getattr(limit, name) for limit in field.metadata for name in _BOUNDS if hasattr(limit, name)}
    least, most = limits.get("ge"), limits.get("le")
    if least is not None and most is not None:
        return f"{type_name(field.annotation)}, {least:g} to {most:g}"
    limits_in_words = [_BOUNDS[name].format(limit) for name, limit in limits.items()]
    limits_in_words += [_of_text(limit) for limit in field.metadata if type(limit).__name__ == "StringConstraints"]
    return " ".join([type_name(field.annotation), " and ".join(limits_in_words)]).strip()


_TIME = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|sec|seconds|m|min|h)\s*")
_BOUNDS = {"ge": "of at least {:g}", "gt": "above {:g}", "le": "of at most {:g}", "lt": "below {:g}"}


def _of_text(limit: Any) -> str:
    return f"matching {limit.pattern}" if limit.pattern else "that is not empty"


def _without_unit(field: FieldInfo, value: Any) -> str:
    """Return a hint for a time with a unit, where a number of seconds is wanted; '' for anything else."""
    parts = _TIME.fullmatch(value) if isinstance(value, str) else None
    if parts is None or field.annotation is not float:
        return ""
    seconds = float(parts[1]) * {"ms": 0.001, "m": 60, "min": 60, "h": 3600}.get(parts[2], 1)
    return f"times are numbers of seconds: write {seconds:g}"


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
