"""Which fields an object has, and who owns them: what server-side apply and `managedFields` are made of.

A field is a path of elements in FieldsV1's own spelling: `f:NAME`, `k:{"name":"a"}` for an item of a list that is a
map, `v:"x"` for one of a list that is a set. Where the schema calls a list or a map atomic, the path ends there.

https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy
"""

import copy
import json
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str, ...]
Value: TypeAlias = Any

_LIST_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
_PORTS = {"containers": ("containerPort", "protocol"), "initContainers": ("containerPort", "protocol")}
_ATOMIC_MAPS = {"selector", "nodeSelector", "labelSelector", "fieldRef", "configMapKeyRef", "secretKeyRef"}
_KEY_DEFAULTS = {"protocol": "TCP"}
_OWN = "name namespace uid creationTimestamp generation resourceVersion managedFields deletionTimestamp selfLink"
_NOBODYS = {("f:apiVersion",), ("f:kind",), *(("f:metadata", f"f:{name}") for name in _OWN.split())}


def list_keys(path: Path) -> tuple[str, ...]:
    """Return the keys that tell the items of the list at this path apart; none for an atomic list or a set."""
    names = [element[2:] for element in path if element.startswith("f:")]
    if not names:
        return ()
    if names[-1] == "ports":
        parent = names[-2] if len(names) > 1 else ""
        return _PORTS.get(parent, ("port", "protocol") if parent == "spec" else ())
    return _LIST_KEYS.get(names[-1], ())


def is_set(path: Path) -> bool:
    """Return whether the list at this path is a set of scalars."""
    return path[-1:] == ("f:finalizers",)


def is_atomic(path: Path) -> bool:
    """Return whether the map at this path is owned whole."""
    return path[-1:] and path[-1][2:] in _ATOMIC_MAPS and path[0] == "f:spec"  # type: ignore[return-value]


def key_of(item: Value, keys: Iterable[str]) -> str:
    """Return the element that names a list's item."""
    values = {key: item.get(key, _KEY_DEFAULTS.get(key)) for key in sorted(keys)}
    return "k:" + json.dumps({key: value for key, value in values.items() if value is not None}, separators=(",", ":"))


def leaves(value: Value, path: Path = ()) -> Iterator[tuple[Path, Value]]:
    """Yield each field with its value; an item of a list that is a map comes itself too, without a value."""
    if isinstance(value, dict) and value and not is_atomic(path):
        for name, child in value.items():
            yield from leaves(child, (*path, f"f:{name}"))
    elif isinstance(value, list) and (keys := list_keys(path)):
        for item in value:
            place = (*path, key_of(item, keys))
            yield place, None
            yield from leaves(item, place)
    elif isinstance(value, list) and is_set(path):
        yield from (((*path, f"v:{json.dumps(item)}"), item) for item in value)
    else:
        yield path, value


def owned(item: Value) -> set[Path]:
    """Return the fields of an object that somebody can own."""
    return {path for path, _ in leaves(item) if not any(path[: len(prefix)] == prefix for prefix in _NOBODYS)}


def changed(before: Value, after: Value) -> tuple[set[Path], set[Path]]:
    """Return the fields that `after` has anew or with another value, and those that it has no more."""
    old, new = dict(leaves(before)), dict(leaves(after))
    fresh = {path for path, value in new.items() if path not in old or old[path] != value}
    return fresh & owned(after), set(old) - set(new)


def merged(live: Value, applied: Value, path: Path = ()) -> Value:
    """Return the live value with what is applied over it, lists that are maps item by item."""
    if isinstance(live, dict) and isinstance(applied, dict) and not is_atomic(path):
        over = {name: merged(live.get(name), value, (*path, f"f:{name}")) for name, value in applied.items()}
        return {**live, **over}
    if isinstance(live, list) and isinstance(applied, list) and (keys := list_keys(path)):
        there = {key_of(item, keys): item for item in live}
        made = {key_of(item, keys): item for item in applied}
        first = [merged(there.get(key), item, (*path, key)) for key, item in made.items()]
        return [*first, *(item for key, item in there.items() if key not in made)]
    if isinstance(live, list) and isinstance(applied, list) and is_set(path):
        return [*live, *(item for item in applied if item not in live)]
    return copy.deepcopy(applied)


def without(value: Value, gone: Iterable[Path]) -> Value:
    """Return the object without these fields, and without the maps that they leave empty."""
    made = copy.deepcopy(value)
    for path in sorted(gone, key=len):  # an item of a list before its own fields, one of which is its name
        _remove(made, path, ())
    return made


def _remove(value: Value, path: Path, place: Path) -> None:
    """Remove the field at `path` below `value`, which is at `place`."""
    element, rest = path[0], path[1:]
    if element.startswith("f:"):
        name = element[2:]
        if not isinstance(value, dict) or name not in value:
            return
        if rest:
            _remove(value[name], rest, (*place, element))
        if not rest or value[name] in ({}, []):
            value.pop(name)
    elif isinstance(value, list):
        keys = list_keys(place)
        for item in list(value):
            is_named = key_of(item, keys) == element if keys else element == f"v:{json.dumps(item)}"
            if is_named and rest:
                _remove(item, rest, (*place, element))
            elif is_named:
                value.remove(item)


def spelt(paths: Iterable[Path]) -> dict[str, Any]:
    """Return the fields as FieldsV1."""
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        node = tree
        for element in path:
            node = node.setdefault(element, {})
    for path in paths:
        node = tree
        for element in path:
            node = node[element]
        if node:
            node["."] = {}
    return tree


def read(tree: dict[str, Any], path: Path = ()) -> set[Path]:
    """Return the fields of a FieldsV1."""
    paths = {path} if path and (not tree or "." in tree) else set()
    for element, below in tree.items():
        if element != ".":
            paths |= read(below, (*path, element))
    return paths
