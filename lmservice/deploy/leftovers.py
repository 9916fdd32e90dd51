"""What a release deletes, which is only what lmservice has made: for a canary, or of an overlay that has it no more.

What is not namespaced others may need, and what holds data nothing brings back: those stay, whoever made them. The
ConfigMaps and Secrets that a kept ReplicaSet names stay as long as it is kept, for `kubectl rollout undo`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from lmservice.deploy.cluster import Cluster
from lmservice.deploy.errors import ReleaseFailedError
from lmservice.deploy.history import StoredRelease
from lmservice.deploy.objects import Object, is_for_canary, is_marked, key, reference, selector
from lmservice.deploy.overlay import Manifests

_KEPT_KINDS = {"Namespace", "PersistentVolumeClaim", "CustomResourceDefinition"}
_NAMED_BY_PODS = {"ConfigMap", "Secret"}


def is_foreign(cluster: Cluster, item: Object) -> bool:
    """Return whether the name of something that is made for canaries is taken by what lmservice did not make."""
    live = cluster.get(item)
    return live is not None and not is_for_canary(live)


def apply_for_canary(cluster: Cluster, item: Object) -> None:
    """Apply what is made for a canary.

    Raises:
        ReleaseFailedError: somebody else has taken its name.
    """
    if is_foreign(cluster, item):
        metadata = item["metadata"]
        raise ReleaseFailedError(
            f"the {item['kind']} {metadata['name']} in {metadata['namespace']} is not lmservice's, and a canary needs"
            " its name: rename it"
        )
    cluster.apply(item)


def delete_for_canary(cluster: Cluster, item: Object) -> None:
    """Delete what was made for a canary, and nothing else of its name."""
    live = cluster.get(item)
    if live and is_for_canary(live):
        cluster.delete(item, live["metadata"]["uid"])


def delete(cluster: Cluster, items: Iterable[Object]) -> None:
    """Delete those of them that lmservice has made."""
    for item in items:
        live = cluster.get(item)
        if live and _may_go(cluster, live):
            cluster.delete(item, live["metadata"]["uid"])


def leftovers(
    cluster: Cluster, records: Sequence[StoredRelease], manifests: Manifests
) -> tuple[list[Object], list[Object]]:
    """Return what releases have made that these manifests lack: what can go, and what ReplicaSets still name."""
    wanted = {key(item) for item in manifests.objects}
    known = {key(item): item for kept in records for item in [*kept.manifests.objects, *kept.left]}
    live = [present for name, item in known.items() if name not in wanted and (present := cluster.get(item))]
    candidates = [item for item in live if _may_go(cluster, item)]
    named = _named_by_replica_sets(cluster, manifests.deployment) if candidates else set()
    left = [item for item in candidates if item["kind"] in _NAMED_BY_PODS and item["metadata"]["name"] in named]
    return [item for item in candidates if item not in left], [_bare(item) for item in left]


def _may_go(cluster: Cluster, live: Object) -> bool:
    return is_marked(live) and live["kind"] not in _KEPT_KINDS and cluster.is_namespaced(live)


def _named_by_replica_sets(cluster: Cluster, deployment: Object) -> set[str]:
    """Return every text of the pod templates that the Deployment's ReplicaSets keep."""
    sets = reference("apps/v1", "ReplicaSet", deployment["metadata"]["namespace"])
    listed = cluster.list(sets, selector(deployment))["items"]
    return {text for replica_set in listed for text in _texts(replica_set["spec"]["template"]["spec"])}


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _bare(item: Object) -> Object:
    metadata = item["metadata"]
    return reference(item["apiVersion"], item["kind"], metadata["namespace"], metadata["name"])
