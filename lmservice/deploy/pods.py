"""A pod as a release sees it: which version, ready or not, and what keeps it from getting ready."""

from collections.abc import Iterable
from dataclasses import dataclass

from lmservice.deploy.objects import CANARY, TRACK, Object

_HASH = "pod-template-hash"
_HOPELESS = {
    "ImagePullBackOff": "its image cannot be pulled",
    "ErrImageNeverPull": "its image is not on the node, and may not be pulled",
    "InvalidImageName": "its image's name is invalid",
    "CreateContainerConfigError": "its container cannot be configured",
    "CreateContainerError": "its container cannot be created",
    "RunContainerError": "its container cannot be run",
    "CrashLoopBackOff": "it crashes again and again",
}


@dataclass(frozen=True)
class Pod:
    """What matters of a pod.

    Attributes:
        template: the hash of the pod template that it was made from.
        image: what the service's own container runs, as the manifest says.
        digest: the same as the node found it; empty until it runs.
        problem: why it will not get ready by waiting; empty where it may.
        waiting: why it is not ready yet.
        ended: how its containers last ended, where one did.
    """

    name: str
    template: str
    canary: bool
    image: str
    digest: str
    ready: bool
    ending: bool
    restarts: int
    problem: str
    waiting: str
    ended: str = ""

    @property
    def state(self) -> str:
        """Return one word or two, for people."""
        if self.ending:
            return "ending"
        return "ready" if self.ready else self.problem or "starting"


def read_pod(item: Object, container: str = "") -> Pod:
    """Read the API's object, which may have had containers put beside the one that is the service's own."""
    metadata, spec, status = item["metadata"], item["spec"], item.get("status", {})
    containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    labels = metadata.get("labels", {})
    restarts = sum(container["restartCount"] for container in containers)
    ready = any(
        condition["type"] == "Ready" and condition["status"] == "True" for condition in status.get("conditions", [])
    )
    return Pod(
        name=metadata["name"],
        template=labels.get(_HASH, ""),
        canary=labels.get(TRACK) == CANARY,
        image=_own(spec["containers"], container)["image"],
        digest=_digest(status.get("containerStatuses", []), container),
        ready=ready,
        ending="deletionTimestamp" in metadata,
        restarts=restarts,
        problem=_problem(containers, status),
        waiting=_waiting(status),
        ended=next((text for container in containers if (text := _ended(container))), ""),
    )


def template_of(replica_sets: Iterable[Object], deployment: Object) -> str:
    """Return the hash of the Deployment's own pod template; empty until its ReplicaSet is there.

    Which ReplicaSet that is tells the template alone, as the controllers have it: revisions and observed generations
    are the old template's until they have come to it.
    """
    owner, wanted = deployment["metadata"]["uid"], deployment["spec"]["template"]
    for replica_set in replica_sets:
        owners = {reference["uid"] for reference in replica_set["metadata"].get("ownerReferences", [])}
        if owner in owners and _without_hash(replica_set["spec"]["template"]) == _without_hash(wanted):
            return str(replica_set["metadata"]["labels"].get(_HASH, ""))
    return ""


def _without_hash(template: Object) -> Object:
    metadata = template.get("metadata", {})
    labels = {name: value for name, value in metadata.get("labels", {}).items() if name != _HASH}
    return {**template, "metadata": {**metadata, "labels": labels}}


def _own(containers: list[Object], name: str) -> Object:
    return next((container for container in containers if container["name"] == name), containers[0])


def _digest(containers: list[Object], name: str) -> str:
    return str(_own(containers, name).get("imageID", "")).rpartition("@")[2] if containers else ""


def _problem(containers: list[Object], status: Object) -> str:
    for container in containers:
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason") in _HOPELESS:
            return _detailed(_HOPELESS[waiting["reason"]], container, waiting)
    if status.get("phase") == "Failed":
        return f"it ended: {status.get('reason') or 'failed'}"
    return ""


def _detailed(text: str, container: Object, waiting: Object) -> str:
    if ended := _ended(container):
        return f"{text} ({ended})"
    message = " ".join(str(waiting.get("message", "")).split())[:160]
    return f"{text} ({container['image']}{': ' + message if message else ''})"


def _ended(container: Object) -> str:
    """Return how it ended last, by name where the pod may have more than one."""
    states = [container.get(name, {}).get("terminated") or {} for name in ("state", "lastState")]
    ended = next((state for state in states if state.get("exitCode")), None)
    if ended is None:
        return ""
    reason = f"{ended['reason']}, " if ended.get("reason") not in {None, "Error"} else ""
    return f"container {container['name']}: {reason}exit code {ended['exitCode']}"


def _waiting(status: Object) -> str:
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"not scheduled: {condition.get('message', '')}"
        if condition["type"] == "Initialized" and condition["status"] == "False":
            unready = [container for container in status.get("initContainerStatuses", []) if not container.get("ready")]
            return next(
                (_ended(container) or f"its init container {container['name']} has not ended" for container in unready),
                "",
            )
    if any("running" in container.get("state", {}) for container in status.get("containerStatuses", [])):
        return "it runs, but its readiness probe does not pass"
    return "its container has not started"
