"""What of a value is written into a log line: secrets masked, lazy values described and not consumed."""

import dataclasses
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Mapping, MappingView
from collections.abc import Set as AbstractSet
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from lmservice.errors import MASK
from lmservice.settings.masking import secret_name

DEEPEST = 12
"""The number of levels of a value that are shown; it may hold itself."""
CUT = "…"
"""What stands for the levels below, and for what is past `MOST`."""
MOST = 10_000
"""The number of values within one that are shown, text and numbers apart, which are shown however many."""
AGAIN = "..."
"""What stands for a value within itself."""
_PAIR = 2
_SIMPLE = (str, int, float, type(None))
_is_secret = lru_cache(maxsize=4096)(secret_name)


def without_secrets(key: object, value: Any, above: "_Above | None" = None) -> Any:
    """Return `value` as a log line has it: what is named like a secret is masked, however deep and in whatever it lies.

    Names are the keys of mappings, the fields of models, dataclasses, named tuples and their like, and the first of
    a pair, as in a list of headers. A field that its class keeps out of `repr` is masked too. What is lazy, as a
    generator, is described: nobody but its owner may consume it. Never raises.
    """
    if key != "" and _is_secret(str(key)):
        return MASK
    if isinstance(value, _SIMPLE):
        return value
    above = above or _Above()
    if id(value) in above.values:
        return AGAIN
    above.left -= 1
    if len(above.values) > DEEPEST or above.left < 0:
        return CUT
    above.values.add(id(value))
    try:
        return _shown(value, above)
    except Exception:  # noqa: BLE001 - another thread changes it, or it is of a class of somebody's own
        return {type(value).__qualname__: CUT}
    finally:
        above.values.discard(id(value))


class _Above:
    """What a value lies in.

    Attributes:
        values: the identities of what it lies in.
        left: how many more are shown of the whole.
    """

    __slots__ = ("left", "values")

    def __init__(self) -> None:
        self.values: set[int] = set()
        self.left = MOST


def _shown(value: Any, above: _Above) -> Any:
    if isinstance(value, list | tuple | AbstractSet | deque | MappingView):
        return _items(value, above)
    if isinstance(value, Iterator | AsyncIterable | Awaitable):
        return object.__repr__(value)
    fields = value if isinstance(value, Mapping) else _fields(value)
    if fields is None:
        return value
    return {name: without_secrets(name, item, above) for name, item in list(fields.items())}


def masked_argument(value: Any) -> Any:
    """Return an argument of a message: itself, or what is shown of it where that hides a secret."""
    if isinstance(value, _SIMPLE):
        return value
    shown = without_secrets("", value)
    return shown if shown is not value and _hides(shown) else value


def _hides(shown: Any) -> bool:
    """Return whether something of a value is masked, or not known."""
    if isinstance(shown, dict):
        return any(map(_hides, shown.values()))
    return any(map(_hides, shown)) if isinstance(shown, list) else isinstance(shown, str) and shown in (MASK, CUT)


def _items(value: Any, above: _Above) -> list[Any]:
    names = getattr(value, "_fields", None)
    if isinstance(value, tuple) and isinstance(names, tuple) and len(names) == len(value):
        return [without_secrets(name, item, above) for name, item in zip(names, value, strict=True)]
    if isinstance(value, list | tuple) and len(value) == _PAIR and isinstance(value[0], str | bytes):
        name = value[0] if isinstance(value[0], str) else value[0].decode("latin-1")
        if _is_secret(name):
            return [name, MASK]
    return [without_secrets("", item, above) for item in list(value)]


def _fields(value: Any) -> dict[str, Any] | None:
    """Return the fields of a model, a dataclass and their like by name; None of what is none."""
    kind = type(value)
    try:
        for mark, read in _READERS.items():
            if hasattr(kind, mark):
                return read(value)
    except Exception:  # noqa: BLE001 - whatever a class of somebody's own does: its name is shown
        return {kind.__qualname__: CUT}
    return vars(value) if isinstance(value, SimpleNamespace) else None


def _of_model(value: Any) -> dict[str, Any]:
    """Return a pydantic model's fields, by its own serializers where it has some."""
    known = type(value).__pydantic_fields__
    decorators = type(value).__pydantic_decorators__
    own = decorators.field_serializers or decorators.model_serializers
    if dataclasses.is_dataclass(value):  # which may have slots, and has no model_dump
        members: Any = {name: getattr(value, name) for name in known}
    else:
        members = value.model_dump() if own else {**vars(value), **(getattr(value, "__pydantic_extra__", None) or {})}
    if not isinstance(members, dict):
        return {type(value).__qualname__: members}
    hidden = {name for name, field in known.items() if field.exclude}
    quiet = {name for name, field in known.items() if not field.repr}
    return {name: MASK if name in quiet else item for name, item in members.items() if name not in hidden}


def _of_class(value: Any, fields: Iterable[Any]) -> dict[str, Any]:
    return {field.name: getattr(value, field.name, None) if field.repr else MASK for field in fields}


_READERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "__pydantic_decorators__": _of_model,
    "__dataclass_fields__": lambda value: _of_class(value, dataclasses.fields(value)),
    "__attrs_attrs__": lambda value: _of_class(value, type(value).__attrs_attrs__),
    "__struct_fields__": lambda value: {
        name: getattr(value, name) for name in type(value).__struct_fields__
    },  # msgspec
}
"""What reads the fields of an instance, by a name that its class has."""
