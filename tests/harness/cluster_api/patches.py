"""The patches that are not server-side apply: JSON Patch (RFC 6902), JSON Merge Patch (RFC 7396), strategic merge."""

import copy
from typing import Any

from cluster_api import fields


def patched(live: dict[str, Any], patch: Any, content_type: str) -> dict[str, Any] | None:
    """Return the object with the patch; None where the server does not know such a patch."""
    if content_type == "application/json-patch+json":
        return _json_patch(live, patch)
    if content_type == "application/merge-patch+json":
        return dict(_merge_patch(live, patch))
    if content_type == "application/strategic-merge-patch+json":
        return dict(_strategic(live, patch, ()))
    return None


def _json_patch(live: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    item: Any = copy.deepcopy(live)
    for operation in operations:
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        node = item
        for part in way:
            node = node[int(part)] if isinstance(node, list) else node[part]
        place: Any = int(last) if isinstance(node, list) and last != "-" else last
        if operation["op"] == "remove":
            del node[place]
        elif isinstance(node, list) and operation["op"] == "add":
            node.insert(len(node) if place == "-" else place, operation["value"])
        else:
            node[place] = operation["value"]
    return dict(item)


def _merge_patch(live: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    made = dict(live) if isinstance(live, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = _merge_patch(made.get(name), value)
    return made


def _strategic(live: Any, patch: Any, path: fields.Path) -> Any:
    """As a merge patch, but for lists that are maps, which are merged item by item."""
    if isinstance(patch, dict):
        made = dict(live) if isinstance(live, dict) else {}
        for name, value in patch.items():
            if name.startswith("$"):
                continue
            if value is None:
                made.pop(name, None)
            else:
                made[name] = _strategic(made.get(name), value, (*path, f"f:{name}"))
        return made
    keys = fields.list_keys(path)
    if not keys or not isinstance(patch, list):
        return patch
    items = {fields.key_of(item, keys): item for item in live or []}
    for item in patch:
        key = fields.key_of(item, keys)
        if item.get("$patch") == "delete":
            items.pop(key, None)
        else:
            items[key] = _strategic(items.get(key), item, (*path, key))
    return list(items.values())
