"""The releases of a service in an environment, kept in the cluster itself: one Secret each, its facts as annotations.

A Secret and no ConfigMap, as an overlay may hold Secrets. What it keeps is everything that was applied, so that rolling
back is applying it again.
"""

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

from lmservice.deploy.cluster import Cluster
from lmservice.deploy.objects import Object, key, reference
from lmservice.deploy.overlay import Manifests

PREFIX = "lmservice.dev/"
CAUSE = "kubernetes.io/change-cause"
"""The annotation that `kubectl rollout history` shows."""
RUNNING, RELEASED, FAILED, INTERRUPTED = "running", "released", "failed", "interrupted"
FOUND = "found"
"""The outcome of what was not released by lmservice, but was there: before the first release, or by hand since."""
_KEPT_OUT = {
    "managedFields",
    "resourceVersion",
    "uid",
    "creationTimestamp",
    "generation",
    "selfLink",
    "ownerReferences",
}


@dataclass(frozen=True)
class Record:
    """One release.

    Attributes:
        number: counted from 1 in each service and environment.
        artifact: the image at its version.
        digest: of the image that its pods ran, where that was seen.
        commit: of the repository that the manifests came from.
        strategy: `canary`, `rolling`, `rollback to N`, or `found` for what lmservice did not release.
        outcome: `running`, `released`, `failed`, `interrupted`, or `found`.
        reason: why it was not released.
        by: who released it.
        stage: the last step that was begun.
    """

    number: int
    artifact: str
    digest: str = ""
    commit: str = ""
    strategy: str = ""
    outcome: str = RUNNING
    reason: str = ""
    by: str = ""
    stage: str = ""
    started: str = ""
    ended: str = ""


@dataclass(frozen=True)
class StoredRelease:
    """A record with what was applied.

    Attributes:
        made: what of it was not there before.
        left: what earlier releases made and ReplicaSets still name, so that `kubectl rollout undo` works.
        name: of the Secret that keeps it.
    """

    record: Record
    manifests: Manifests
    made: Sequence[Object] = ()
    left: Sequence[Object] = ()
    name: str = ""


class History:
    """The records of one service in one environment, oldest first."""

    def __init__(self, cluster: Cluster, service: str, environment: str, namespace: str) -> None:
        self._cluster, self._service, self._environment, self._namespace = cluster, service, environment, namespace
        self._labels = {
            "app.kubernetes.io/managed-by": "lmservice-deploy",
            f"{PREFIX}service": service,
            f"{PREFIX}environment": environment,
        }

    def records(self) -> list[StoredRelease]:
        """Return all of them."""
        labels = ",".join(f"{name}={value}" for name, value in self._labels.items())
        listed = self._cluster.list(self._object(""), labels)
        return sorted((self._loaded(item) for item in listed["items"]), key=lambda kept: kept.record.number)

    def write(self, kept: StoredRelease) -> StoredRelease:
        """Add a record, or overwrite the one of its number."""
        name = kept.name or self._name(kept.record.number)
        kept = replace(kept, name=name)
        data = {"manifests": kept.manifests.objects, "made": kept.made, "left": kept.left}
        item = self._object(name)
        item["metadata"]["annotations"] = {PREFIX + name: str(value) for name, value in asdict(kept.record).items()}
        packed = {key: _packed(list(objects)) for key, objects in data.items()}
        self._cluster.apply({**item, "type": f"{PREFIX}release", "data": packed})
        return kept

    def end(self, kept: StoredRelease, outcome: str, reason: str = "") -> StoredRelease:
        """Write how it ended."""
        return self.write(replace(kept, record=replace(kept.record, outcome=outcome, reason=reason, ended=now())))

    def prune(self, limit: int) -> None:
        """Forget the oldest ones past the limit, but never the one that is running in the cluster."""
        records = self.records()
        current = what_runs(records)
        for kept in records[:-limit]:
            if not current or kept.record.number != current.record.number:
                self._cluster.delete(self._object(kept.name))

    def _name(self, number: int) -> str:
        """Name the Secret of a release; with dots, which no part has, so that no two services share a name."""
        return f"{self._service}.{self._environment}.release-{number}"

    def _object(self, name: str) -> Object:
        item = reference("v1", "Secret", self._namespace, name)
        item["metadata"]["labels"] = self._labels
        return item

    def _loaded(self, item: Object) -> StoredRelease:
        written = item["metadata"].get("annotations", {})
        names = [fact.name for fact in fields(Record) if fact.name != "number"]
        facts: dict[str, Any] = {name: written.get(PREFIX + name, "") for name in names}
        record = Record(number=int(written[f"{PREFIX}number"]), **facts)
        manifests = Manifests(self._service, self._objects(item, "manifests"))
        made, left = self._objects(item, "made"), self._objects(item, "left")
        return StoredRelease(record, manifests, made, left, item["metadata"]["name"])

    def _objects(self, item: Object, name: str) -> list[Object]:
        """Unpack objects, each named as the cluster names it, which older records did not always."""
        text = item["data"].get(name)
        return [self._cluster.placed(item, self._namespace) for item in _unpacked(text)] if text else []


def what_runs(records: Sequence[StoredRelease]) -> StoredRelease | None:
    """Return the last one that went through or was found there: what the cluster is to run."""
    return next((kept for kept in reversed(records) if kept.record.outcome in {RELEASED, FOUND}), None)


def rollback_target(records: Sequence[StoredRelease], number: int = 0) -> StoredRelease | None:
    """Return what a rollback goes to: that number, or what ran before the current one, however often one goes back.

    A release that changed nothing is no place to go back to, and neither is what was rolled back from.
    """
    if number:
        current = what_runs(records)
        through = [kept for kept in records if kept.record.outcome in {RELEASED, FOUND} and kept is not current]
        return next((kept for kept in through if kept.record.number == number), None)
    way = _way_here(records)
    return next((kept for kept in reversed(way[:-1]) if not _is_same(kept, way[-1])), None)


def _way_here(records: Sequence[StoredRelease]) -> list[StoredRelease]:
    """Return what ran, one after the other, without what was rolled back from."""
    way: list[StoredRelease] = []
    for kept in records:
        if kept.record.outcome not in {RELEASED, FOUND}:
            continue
        reached = _reached(kept, way)
        if reached:
            way = [earlier for earlier in way if earlier.record.number < reached]
        way.append(kept)
    return way


def _reached(kept: StoredRelease, way: Sequence[StoredRelease]) -> int:
    """Return the number of the release that this one went back to; 0 where it went nowhere."""
    if kept.record.strategy.startswith("rollback to "):
        return int(kept.record.strategy.removeprefix("rollback to "))
    undone = undone_to(kept, way) if kept.record.outcome == FOUND else None
    return undone.record.number if undone else 0


def undone_to(kept: StoredRelease, before: Sequence[StoredRelease]) -> StoredRelease | None:
    """Return the release that somebody went back to by hand, as `kubectl rollout undo` does; None where it is none."""
    template = kept.manifests.deployment["spec"]["template"]
    earlier = [stored for stored in before[:-1] if stored.record.number < kept.record.number]
    return next((stored for stored in reversed(earlier) if _covers(template, _template(stored))), None)


def _template(kept: StoredRelease) -> Object:
    template: Object = kept.manifests.deployment["spec"]["template"]
    return template


def _covers(whole: Any, part: Any) -> bool:
    """Return whether all that the part says stands in the whole, which may say more, such as defaults."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(_covers(whole.get(name), value) for name, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(map(_covers, whole, part))
    return bool(whole == part)


def _is_same(one: StoredRelease, other: StoredRelease) -> bool:
    """Return whether both applied the same, but for what a release notes down on its Deployment."""
    return _meaning(one) == _meaning(other)


def _meaning(kept: StoredRelease) -> dict[str, Object]:
    return {key(item): without_notes(item) for item in kept.manifests.objects}


def is_note(annotation: str) -> bool:
    """Return whether an annotation is one by which a release notes down what it did."""
    return annotation.startswith(PREFIX) or annotation in {CAUSE, "deployment.kubernetes.io/revision"}


def without_notes(item: Object) -> Object:
    """Return the object without the annotations by which a release notes down what it did."""
    metadata = dict(item["metadata"])
    annotations = metadata.pop("annotations", {})
    rest = {name: text for name, text in annotations.items() if not is_note(name)}
    return {**item, "metadata": {**metadata, "annotations": rest} if rest else metadata}


def adopt_running(cluster: Cluster, manifests: Manifests, number: int = 1) -> StoredRelease | None:
    """Make a record of what the cluster runs of these objects already; None without a Deployment."""
    live = [item for item in map(cluster.get, manifests.objects) if item]
    if key(manifests.deployment) not in {key(item) for item in live}:
        return None
    kept = Manifests(manifests.service, [_bare(item) for item in live])
    record = Record(number, kept.image, strategy=FOUND, outcome=FOUND, started=now(), ended=now())
    return StoredRelease(record, kept)


def now() -> str:
    """Return this moment, as records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _bare(item: Object) -> Object:
    """Return the object as somebody could have applied it."""
    metadata = {name: value for name, value in item["metadata"].items() if name not in _KEPT_OUT}
    annotations = {
        name: value
        for name, value in metadata.pop("annotations", {}).items()
        if name not in {"deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration"}
    }
    rest = {name: value for name, value in item.items() if name != "status"}
    return {**rest, "metadata": {**metadata, **({"annotations": annotations} if annotations else {})}}


def _packed(value: list[Object]) -> str:
    return base64.b64encode(gzip.compress(json.dumps(value).encode(), mtime=0)).decode()


def _unpacked(text: str) -> list[Object]:
    value: list[Object] = json.loads(gzip.decompress(base64.b64decode(text)))
    return value
