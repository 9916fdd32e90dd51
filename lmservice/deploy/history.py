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
RUNNING, RELEASED, FAILED, INTERRUPTED = "running", "released", "failed", "interrupted"
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
        strategy: `canary`, `rolling`, `rollback to N`, or `found` for what was there before the first release.
        outcome: `running`, `released`, `failed` or `interrupted`.
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
    """A record with what was applied, and what of it was not there before."""

    record: Record
    manifests: Manifests
    made: Sequence[Object] = ()


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
        listed = self._cluster.list(self._object(0), labels)
        return sorted((self._loaded(each) for each in listed["items"]), key=lambda kept: kept.record.number)

    def write(self, kept: StoredRelease) -> StoredRelease:
        """Add a record, or overwrite the one of its number."""
        data = {"manifests": _packed(list(kept.manifests.objects)), "made": _packed(list(kept.made))}
        item = self._object(kept.record.number)
        item["metadata"]["annotations"] = {PREFIX + name: str(value) for name, value in asdict(kept.record).items()}
        self._cluster.apply({**item, "type": f"{PREFIX}release", "data": data})
        return kept

    def end(self, kept: StoredRelease, outcome: str, reason: str = "") -> StoredRelease:
        """Write how it ended."""
        return self.write(replace(kept, record=replace(kept.record, outcome=outcome, reason=reason, ended=now())))

    def prune(self, limit: int) -> None:
        """Forget the oldest ones past the limit, but never the one that is running in the cluster."""
        records = self.records()
        current = released(records)
        for kept in records[:-limit]:
            if not current or kept.record.number != current.record.number:
                self._cluster.delete(self._object(kept.record.number))

    def _object(self, number: int) -> Object:
        name = f"{self._service}-{self._environment}-release-{number}"
        item = reference("v1", "Secret", self._namespace, name)
        item["metadata"]["labels"] = self._labels
        return item

    def _loaded(self, item: Object) -> StoredRelease:
        written = item["metadata"].get("annotations", {})
        names = [each.name for each in fields(Record) if each.name != "number"]
        facts: dict[str, Any] = {name: written.get(PREFIX + name, "") for name in names}
        record = Record(number=int(written[f"{PREFIX}number"]), **facts)
        manifests = Manifests(self._service, _unpacked(item["data"]["manifests"]))
        return StoredRelease(record, manifests, _unpacked(item["data"]["made"]))


def released(records: Sequence[StoredRelease]) -> StoredRelease | None:
    """Return the last one that went through: what the cluster is to run."""
    return next((kept for kept in reversed(records) if kept.record.outcome == RELEASED), None)


def rollback_target(records: Sequence[StoredRelease], number: int = 0) -> StoredRelease | None:
    """Return what a rollback goes to: that number, or the last with another artifact than the current one's."""
    current = released(records)
    through = [kept for kept in records if kept.record.outcome == RELEASED and kept is not current]
    if number:
        return next((kept for kept in through if kept.record.number == number), None)
    others = [kept for kept in through if current and kept.record.artifact != current.record.artifact]
    if current and current.record.strategy.startswith("rollback to "):  # a second one goes further back
        reached = int(current.record.strategy.removeprefix("rollback to "))
        others = [kept for kept in others if kept.record.number < reached]
    return others[-1] if others else None


def adopt_running(cluster: Cluster, manifests: Manifests, number: int = 1) -> StoredRelease | None:
    """Make a record of what the cluster runs of these objects already; None without a Deployment."""
    live = [item for item in (cluster.get(each) for each in manifests.objects) if item]
    if key(manifests.deployment) not in {key(each) for each in live}:
        return None
    kept = Manifests(manifests.service, [_bare(each) for each in live])
    record = Record(number, kept.image, strategy="found", outcome=RELEASED, started=now(), ended=now())
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
