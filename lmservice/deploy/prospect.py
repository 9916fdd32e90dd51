"""What a release would do, by the API server's own dry run: for scripts by key, for people in their words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lmservice.deploy import history
from lmservice.deploy.cluster import NOT_FOUND, ApiRefusalError
from lmservice.deploy.fields import differences, in_words, shown_value
from lmservice.deploy.gateway_routes import routes
from lmservice.deploy.history import StoredRelease
from lmservice.deploy.leftovers import leftovers
from lmservice.deploy.objects import GENERATED, Object, is_marked, key, plain_name, reference, selector, title
from lmservice.deploy.overlay import Manifests
from lmservice.deploy.ownership import surprises
from lmservice.deploy.plan import Plan, rolling_plan
from lmservice.deploy.rollout import RolloutState, comparable, look, sized
from lmservice.deploy.target import Target

Action = Literal["create", "change", "keep", "delete"]
_KEPT_BY_SERVER = {"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"}
_SECRET = "(not shown)"  # noqa: S105 - what stands in a secret's place


@dataclass(frozen=True)
class FieldChange:
    """A field that a release would change, or leave to somebody else.

    Attributes:
        field: what a person calls it, such as `container shop: image`.
        before: its value now; empty where it has none.
        after: its value then; empty where it goes.
        manager: who has set it, where it stays although the overlay has it not; else empty.
    """

    field: str
    before: str
    after: str
    manager: str = ""


@dataclass(frozen=True)
class Change:
    """What a release would do to one object.

    Attributes:
        action: `create`, `change`, `delete`, or `keep` for one of which only others' fields are told.
        kind: its kind.
        name: its name, without the hash of kustomize's generators.
        fields: what changes, where it is there already.
    """

    action: Action
    kind: str
    name: str
    fields: Sequence[FieldChange] = ()


@dataclass(frozen=True)
class Prospect:
    """What a release would do.

    Attributes:
        plan: its steps.
        objects: what becomes of each object: `create`, `change`, `keep` or `delete`.
        traffic: `weights` or `pods`: what gives the canary its share of the traffic.
        changes: the same for people: what is not simply kept, field by field.
        note: why the canary is left out, where it is; else empty.
    """

    plan: Plan
    objects: Mapping[str, str]
    traffic: Literal["weights", "pods"]
    changes: Sequence[Change] = ()
    note: str = ""


def prospect_of(target: Target, strategy: str) -> Prospect:
    """Look ahead at a release by `canary` or `rolling`; change nothing."""
    records = target.history.records()
    current = history.what_runs(records) or history.adopt_running(target.cluster, target.manifests)
    plan = target.plan if strategy == "canary" else rolling_plan()
    plan, note = comparable(plan, current.record.artifact if current else "", _stable(target) if current else None)
    looked = {key(item): _looked(target, item, current) for item in target.manifests.objects}
    gone, _ = leftovers(target.cluster, records, target.manifests)
    titles = {title(item) for item in target.manifests.objects}
    deleted = [Change("delete", item["kind"], plain_name(item)) for item in gone if title(item) not in titles]
    changes = [change for _, change in looked.values() if change.action != "keep" or change.fields]
    objects = {name: action for name, (action, _) in looked.items()} | {key(item): "delete" for item in gone}
    return Prospect(plan, objects, "weights" if routes(target.manifests) else "pods", [*changes, *deleted], note)


def _stable(target: Target) -> RolloutState | None:
    deployment = target.manifests.deployment
    return look(target.cluster, deployment, selector(deployment)) if target.cluster.get(deployment) else None


def _looked(target: Target, item: Object, current: StoredRelease | None) -> tuple[Action, Change]:
    """Return what becomes of an object, and the same for people, to whom a generated object's new name is a change."""
    kind, name = item["kind"], plain_name(item)
    before = target.cluster.get(item)
    after = _tried(target, item, before)
    if before is None or after is None:
        earlier = _generated_before(item, current)
        changed = _changes(earlier, item, current) if earlier else []
        return "create", Change("change" if earlier else "create", kind, name, changed)
    changed = _changes(before, after, current)
    foreign = [
        FieldChange(in_words(field.path), _shown(kind, field.value), "", field.manager)
        for field in surprises(target.cluster, before, item)
    ]
    action: Action = "change" if changed or any(not field.manager for field in foreign) else "keep"
    return action, Change(action, kind, name, [*changed, *foreign])


def _tried(target: Target, item: Object, before: Object | None) -> Object | None:
    """Return what the object would be once a release has applied it; None where there is no namespace to try it in."""
    marked = {key(item)} if before is None or is_marked(before) else set()
    (applied,) = Manifests(target.manifests.service, [target.manifests.deployment, item]).marked(marked).objects[1:]
    if item is target.manifests.deployment:
        applied = {**applied, "spec": sized(target.cluster, target.manifests)["spec"]}
    if before:
        noted = before["metadata"].get("annotations", {})
        notes = {name: text for name, text in noted.items() if history.is_note(name)}
        metadata = applied["metadata"]
        applied = {**applied, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), **notes}}}
    try:
        return target.cluster.apply(applied, dry_run=True)
    except ApiRefusalError as error:
        namespace = str(item["metadata"].get("namespace", ""))
        if error.status != NOT_FOUND or target.cluster.get(reference("v1", "Namespace", "", namespace)):
            raise
        return None


def _generated_before(item: Object, current: StoredRelease | None) -> Object | None:
    """Return what the release before had in the place of a generated object, whose name changes with its content."""
    objects = current.manifests.objects if current else ()
    return next(
        (earlier for earlier in objects if title(earlier) == title(item) and plain_name(item) != _name(item)), None
    )


def _changes(before: Object, after: Object, current: StoredRelease | None) -> list[FieldChange]:
    generated = {
        _name(known): plain_name(known)
        for known in [before, after, *(current.manifests.objects if current else ())]
        if plain_name(known) != _name(known)
    }
    kind = after["kind"]
    return [
        FieldChange(in_words(path), _shown(kind, old), _shown(kind, new))
        for path, old, new in differences(_meant(before), _meant(after))
        if _plain(old, generated) != _plain(new, generated)
    ]


def _plain(value: Any, generated: Mapping[str, str]) -> Any:
    """Return a value with the names of generated objects as the overlay's author knows them."""
    if isinstance(value, dict):
        return {name: _plain(part, generated) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part, generated) for part in value]
    if isinstance(value, str) and (name := GENERATED.sub("", value)) in generated.values():
        return name
    return value


def _shown(kind: str, value: Any) -> str:
    return _SECRET if kind == "Secret" and value is not None else shown_value(value)


def _meant(item: Object) -> Object:
    """Return the object without what the API server and releases note down of it, and without its name."""
    bare = history.without_notes(item)
    metadata = {name: value for name, value in bare["metadata"].items() if name not in _KEPT_BY_SERVER | {"name"}}
    return {**{name: value for name, value in bare.items() if name != "status"}, "metadata": metadata}


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])
