"""Fields of objects by their paths: how two objects differ, and what a person calls a field.

A path's elements are spelt as `managedFields` has them: `f:NAME` for a field, `k:{"name":"a"}` for an item of a list.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

import json
from collections.abc import Iterator
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str, ...]

_SHOWN = 100
_POD = ("f:spec", "f:template")
_SINGULAR = {"containers": "container", "initContainers": "init container", "volumes": "volume", "ports": "port"}
_NAMED = {"annotations": "annotation", "labels": "label"}
_PLAIN = {"f:spec", "f:data", "f:metadata"}


def differences(before: Any, after: Any, path: Path = ()) -> Iterator[tuple[Path, Any, Any]]:
    """Yield each field in which two objects differ, with both values; None where one has it not."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            yield from differences(before.get(name), after.get(name), (*path, f"f:{name}"))
    elif isinstance(before, list) and isinstance(after, list) and _are_named([*before, *after]):
        old, new = _by_name(before), _by_name(after)
        for name in dict.fromkeys([*old, *new]):
            yield from differences(old.get(name), new.get(name), (*path, name))
    elif before != after:
        yield path, before, after


def in_words(path: Path) -> str:
    """Return what a person calls a field: `container shop: image`, `env LM_GREETING`, `pod label app`."""
    names, prefix = list(path), ""
    if path[:2] == _POD:
        names, prefix = names[3:], "pod " if path[2:3] == ("f:metadata",) else ""
    elif path[0] in _PLAIN:
        names = names[1:]
    groups: list[str] = [""]
    for name in names:
        spelt, last = name.partition(":")[2], groups[-1].rpartition(".")[2]
        if name.startswith("k:"):
            key = "/".join(str(value) for value in json.loads(spelt).values())
            groups[-1:] = [f"{_SINGULAR.get(groups[-1], groups[-1])} {key}", ""]
        elif last in _NAMED:
            groups[-1:] = [f"{_NAMED[last]} {spelt}", ""]
        else:
            groups[-1] = f"{groups[-1]}.{spelt}" if groups[-1] else spelt
    shown = [group for group in groups if group]
    if len(shown) > 1 and shown[-1] == "value":
        shown.pop()
    return prefix + ": ".join(shown)


def shown_value(value: Any) -> str:
    """Return a field's value in a line; empty for None."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    line = " ".join(text.split())
    return f"{line[:_SHOWN]}..." if len(line) > _SHOWN else line


def _are_named(items: list[Any]) -> bool:
    names = [item.get("name") for item in items if isinstance(item, dict)]
    return len(names) == len(items) and all(names)


def _by_name(items: list[Any]) -> dict[str, Any]:
    return {f"k:{json.dumps({'name': item['name']})}": item for item in items}
