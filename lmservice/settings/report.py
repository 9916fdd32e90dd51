"""The settings in effect, described: for `/config`, `lmservice config` and the documentation."""

from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticUndefined, to_json

from lmservice.settings.fields import type_name
from lmservice.settings.masking import masked, plain
from lmservice.settings.model import Settings, origin
from lmservice.settings.variables import variable


@dataclass(frozen=True)
class DescribedSetting:
    """One setting: `value` and `default` are masked unless plainly harmless; `source` says where the value is from.

    `computed` says that the default is worked out anew on each machine.
    """

    name: str
    variable: str
    type: str
    default: Any
    value: Any
    source: str
    description: str
    computed: bool = False

    def report(self) -> dict[str, Any]:
        """Return the form in which `/config` gives it."""
        return {
            "value": self.value,
            "default": self.default,
            "source": self.source,
            "variable": self.variable,
            "type": self.type,
            "description": self.description,
        }


def describe(settings: Settings) -> list[DescribedSetting]:
    """Describe every setting, in the order in which the class declares them."""
    return [_variable(settings, name) for name in type(settings).model_fields]


def as_json(settings: Settings, indent: int | None = None) -> bytes:
    """Return every setting by its name, as JSON."""
    return to_json(by_name(settings), indent=indent, fallback=str, inf_nan_mode="strings")


def by_name(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return every setting by its name, as `/config` gives it."""
    return {entry.name: entry.report() for entry in describe(settings)}


def _variable(settings: Settings, name: str) -> DescribedSetting:
    field = type(settings).model_fields[name]
    default = field.get_default(call_default_factory=True, validated_data={})
    show = plain if name in Settings.model_fields else masked
    return DescribedSetting(
        name=name,
        variable=variable(type(settings), name),
        type=type_name(field.annotation),
        default=None if default is PydanticUndefined else show(name, default, field.annotation),
        value=show(name, getattr(settings, name), field.annotation),
        source=origin(settings, name),
        description=field.description or "",
        computed=field.default_factory is not None,
    )
