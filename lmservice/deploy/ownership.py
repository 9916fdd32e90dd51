"""Whose the fields of an object are: those of other field managers survive an apply, unless they are taken over.

A canary is made of the overlay alone. What others have set on the stable version's Deployment would stay there, so that
what serves in the end is not what was compared. What kubectl has applied is taken over, as kubectl itself does when it
goes from client-side to server-side apply, and goes where the overlay has it no more; what anybody else has set stays
theirs, and is named.

https://kubernetes.io/docs/reference/using-api/server-side-apply/#upgrading-from-client-side-apply-to-server-side-apply
"""

import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lmservice.deploy.cluster import CONFLICT, ApiRefusalError, Cluster
from lmservice.deploy.errors import ReleaseFailedError
from lmservice.deploy.fields import Path, in_words
from lmservice.deploy.objects import MANAGER, Object, title

_APPLIERS = {
    ("kubectl-client-side-apply", "Update"),
    ("kubectl-create", "Update"),
    ("kubectl-replace", "Update"),
    ("before-first-apply", "Update"),
    ("kubectl", "Apply"),
}
_CONTROLLERS = {MANAGER, "kube-controller-manager"}
_RESTARTED = "f:kubectl.kubernetes.io/restartedAt"  # what kubectl rollout restart leaves: it changes nothing
_TRIES = 5


@dataclass(frozen=True)
class ForeignField:
    """A field that the cluster has and the overlay has not.

    Attributes:
        path: where it is.
        value: what it is.
        manager: whose it is; empty where it is to be taken over, and goes.
    """

    path: Path
    value: Any
    manager: str


def foreign_fields(live: Object, item: Object) -> list[ForeignField]:
    """Return the fields of an object of the cluster that others have set and what is to be applied has not."""
    there: dict[Path, ForeignField] = {}
    for entry in live["metadata"].get("managedFields", []):
        manager = "" if _is_applier(entry) else entry["manager"]
        if manager in _CONTROLLERS or "subresource" in entry:
            continue
        for path in _missing(entry.get("fieldsV1", {}), item, ()):
            known = there.get(path)
            if path[0] not in {"f:metadata", "f:status"} and path[-1] != _RESTARTED and not (known and known.manager):
                there[path] = ForeignField(path, _at(live, path), manager)
    return list(there.values())


def surprises(cluster: Cluster, live: Object, item: Object) -> list[ForeignField]:
    """Return the foreign fields that make a difference: not those that are as the API server would fill them in."""
    foreign = foreign_fields(live, item)
    plain = _filled_in(cluster, item) if foreign else {}
    return [field for field in foreign if _at(plain, field.path) != field.value]


def _filled_in(cluster: Cluster, item: Object) -> Object:
    """Return what the API server makes of an object that is not there; empty where it does not say."""
    elsewhere = {**item, "metadata": {**item["metadata"], "name": f"{item['metadata']['name']}-{secrets.token_hex(4)}"}}
    try:
        return cluster.apply(elsewhere, dry_run=True)
    except ApiRefusalError:
        return {}


def tell_surprises(cluster: Cluster, items: Sequence[Object], note: Callable[[str], None]) -> None:
    """Say, before a release, which fields it will take over from kubectl, and which others keep."""
    for item in items:
        live = cluster.get(item)
        foreign = surprises(cluster, live, item) if live else []
        taken = ", ".join(in_words(field.path) for field in foreign if not field.manager)
        kept = ", ".join(f"{in_words(field.path)} ({field.manager})" for field in foreign if field.manager)
        if taken:
            note(f"the release takes over {title(item)} from kubectl; not in the overlay, so it goes: {taken}")
        if kept:
            note(f"{title(item)} keeps what is not in the overlay, as others have set it: {kept}")


def take_over(cluster: Cluster, item: Object) -> None:
    """Make the release the owner of what kubectl has applied of this object, so that the next apply decides alone."""
    for _ in range(_TRIES):
        live = cluster.get(item)
        entries = live["metadata"].get("managedFields", []) if live else []
        if live is None or not any(map(_is_applier, entries)):
            return
        operations = [
            {"op": "replace", "path": "/metadata/managedFields", "value": _taken(entries, live["apiVersion"])},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
        ]
        try:
            cluster.patch(item, operations)
        except ApiRefusalError as error:
            if error.status != CONFLICT:
                raise
        else:
            return
    raise ReleaseFailedError(f"somebody else keeps changing the {title(item)}")


def _is_applier(entry: Object) -> bool:
    return (entry["manager"], entry["operation"]) in _APPLIERS and "subresource" not in entry


def _taken(entries: Sequence[Object], version: str) -> list[Object]:
    """Return `managedFields` with what kubectl has applied as the release's own."""
    own = [entry for entry in entries if (entry["manager"], entry["operation"]) == (MANAGER, "Apply")]
    fields: Object = {}
    for entry in [*own, *filter(_is_applier, entries)]:
        fields = _united(fields, entry["fieldsV1"])
    made = {"manager": MANAGER, "operation": "Apply", "apiVersion": version, "fieldsType": "FieldsV1"}
    rest = [entry for entry in entries if entry not in own and not _is_applier(entry)]
    return [*rest, {**made, "fieldsV1": fields}]


def _united(one: Object, other: Object) -> Object:
    return {name: _united(one.get(name, {}), other.get(name, {})) for name in [*one, *(other.keys() - one.keys())]}


def _missing(tree: Object, item: Any, path: Path) -> Iterator[Path]:
    """Yield the fields of a FieldsV1 that an object has not; of what it has not at all, each item or the whole."""
    for element, below in tree.items():
        if element == ".":
            continue
        inner = _child(item, element)
        if inner is not None:
            yield from _missing(below, inner, (*path, element))
        elif keyed := [key for key in below if key.startswith("k:")]:
            yield from ((*path, element, key) for key in keyed)
        else:
            yield (*path, element)


def _child(item: Any, element: str) -> Any:
    kind, _, spelt = element.partition(":")
    if kind == "f":
        return item.get(spelt) if isinstance(item, dict) else None
    if not isinstance(item, list):
        return None
    wanted = json.loads(spelt)
    if kind == "v":
        return True if wanted in item else None
    # a key may be one that the API server fills in, as a port's protocol
    return next(
        (child for child in item if all(child.get(name, value) == value for name, value in wanted.items())), None
    )


def _at(item: Any, path: Path) -> Any:
    for element in path:
        item = _child(item, element)
    return item
