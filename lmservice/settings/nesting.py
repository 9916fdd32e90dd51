"""Settings that are models: each of their fields has a variable of its own, where `env_nested_delimiter` is set."""

from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

_DEEPEST = 6
"""The number of models inside one another that are looked into, as one may hold itself."""


class Inner(NamedTuple):
    """A field inside a setting.

    Attributes:
        variable: what it is read from, in capitals.
        name: its own name.
        field: its declaration.
    """

    variable: str
    name: str
    field: FieldInfo


def delimiter_of(cls: type[BaseSettings]) -> str:
    """Return what parts the names in a nested variable, in capitals; '' where settings are not nested."""
    return (cls.model_config.get("env_nested_delimiter") or "").upper()


def inner_fields(cls: type[BaseSettings], variable: str, field: FieldInfo) -> Iterator[Inner]:
    """Yield every field inside a setting that is read from `variable`, however deep; none where nesting is off."""
    if delimiter := delimiter_of(cls):
        yield from _inside(variable, delimiter, field.annotation, 0)


def _inside(variable: str, delimiter: str, annotation: Any, depth: int) -> Iterator[Inner]:
    for model in _models(annotation) if depth < _DEEPEST else ():
        for name, field in model.model_fields.items():
            for spelling in _spellings(name, field):
                inner = f"{variable}{delimiter}{spelling.upper()}"
                yield Inner(inner, name, field)
                yield from _inside(inner, delimiter, field.annotation, depth + 1)


def takes_any(cls: type[BaseSettings], fields: Mapping[str, FieldInfo], variable: str) -> bool:
    """Return whether a variable is a key of a setting that takes any: of a mapping, or a model that allows extras."""
    delimiter = delimiter_of(cls)
    if not delimiter:
        return False
    return any(
        variable.startswith(f"{outer}{delimiter}") and _is_open(field.annotation) for outer, field in fields.items()
    )


def resolve(cls: type[BaseSettings], variable: str, field: FieldInfo, path: Sequence[str]) -> tuple[Inner, int]:
    """Return the innermost field to which a path inside a setting leads, and how many of its steps that took."""
    nearest, steps, delimiter = Inner(variable, "", field), 0, delimiter_of(cls)
    for step in path if delimiter else ():
        reachable = _inside(nearest.variable, delimiter, nearest.field.annotation, _DEEPEST - 1)
        inner = next((choice for choice in reachable if step in _spellings(choice.name, choice.field)), None)
        if inner is None:
            break
        nearest, steps = inner, steps + 1
    return nearest, steps


def _spellings(name: str, field: FieldInfo) -> list[str]:
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return [choice for choice in choices if isinstance(choice, str)] or [name]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    for part in _alternatives(annotation):
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield part


def _is_open(annotation: Any) -> bool:
    for part in _alternatives(annotation):
        kind = get_origin(part) or part
        if isinstance(kind, type) and issubclass(kind, Mapping):
            return True
    return any(model.model_config.get("extra") == "allow" for model in _models(annotation))


def _alternatives(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _alternatives(part)
    else:
        yield annotation
