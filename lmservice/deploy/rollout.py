"""The rollout of one Deployment, which Kubernetes does and a watch follows, to its end or to what makes it hopeless."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lmservice.deploy.cluster import Cluster
from lmservice.deploy.errors import ReleaseFailedError
from lmservice.deploy.objects import Object, container, reference, selector
from lmservice.deploy.pods import Pod, pod, template_of
from lmservice.deploy.settings import DeploySettings

_RESYNC = 2
_CALM = 0.2


@dataclass(frozen=True)
class RolloutState:
    """A Deployment and its service's pods at one moment; `version` is the list's, for the watch that follows."""

    deployment: Object
    pods: Sequence[Pod]
    template: str
    version: str

    @property
    def new(self) -> list[Pod]:
        """Return the Deployment's pods of its newest template."""
        return [each for each in self.pods if self.template and each.template == self.template]

    @property
    def ready(self) -> int:
        """Return how many of those are ready."""
        return sum(each.ready for each in self.new)

    @property
    def done(self) -> bool:
        """Return whether every pod is of the newest template, and ready."""
        status, wanted = self.deployment.get("status", {}), self.deployment["spec"]["replicas"]
        counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
        return self._observed and counts == [wanted] * 4

    @property
    def _observed(self) -> bool:
        """Return whether the status is of what the Deployment asks for now, and not of what it did before."""
        generation = self.deployment["metadata"]["generation"]
        return bool(self.deployment.get("status", {}).get("observedGeneration", 0) >= generation)

    @property
    def refusal(self) -> str:
        """Return why Kubernetes cannot make the pods, or has given up; empty while it goes on."""
        if self.deployment["spec"].get("paused"):
            return "its rollout is paused: kubectl rollout resume goes on with it"
        if not self._observed:
            return ""
        conditions = {each["type"]: each for each in self.deployment.get("status", {}).get("conditions", [])}
        failure, progress = conditions.get("ReplicaFailure", {}), conditions.get("Progressing", {})
        if failure.get("status") == "True":
            return f"the cluster refuses its pods: {failure.get('message', '')}"
        if progress.get("reason") == "ProgressDeadlineExceeded":
            return f"it made no progress: {progress.get('message', '')}"
        return ""


def look(cluster: Cluster, deployment: Object, labels: str) -> RolloutState:
    """RolloutState at how things stand now.

    Args:
        cluster: where.
        deployment: which; its name and namespace are enough.
        labels: a selector of all pods of the service, the other version's included.

    Raises:
        ReleaseFailedError: the Deployment is gone.
    """
    found = cluster.get(deployment)
    if found is None:
        raise ReleaseFailedError(f"the Deployment {deployment['metadata']['name']} was deleted meanwhile")
    namespace = found["metadata"]["namespace"]
    sets = cluster.list(reference("apps/v1", "ReplicaSet", namespace), selector(found))
    listed = cluster.list(reference("v1", "Pod", namespace), labels)
    name = container(found)["name"]
    pods = [pod(each, name) for each in listed["items"]]
    return RolloutState(found, pods, template_of(sets["items"], found), listed["metadata"]["resourceVersion"])


def follow(
    cluster: Cluster,
    deployment: Object,
    labels: str,
    *,
    settings: DeploySettings,
    seen: Callable[[RolloutState], None],
    to_the_end: bool = False,
) -> RolloutState:
    """Return once the rollout is done; `seen` is called with every look, and may raise to end it.

    Args:
        cluster: where.
        deployment: which, as it was applied.
        labels: a selector of all pods of the service.
        settings: `ready_timeout` is how long it may go without one more pod getting ready.
        seen: called with every look.
        to_the_end: whether to go on where it looks hopeless, as on the way back, where nothing better is left.

    Raises:
        ReleaseFailedError: it cannot succeed, or took too long; the reason names a pod where it can.
    """
    name, end, ready = deployment["metadata"]["name"], time.monotonic() + settings.ready_timeout, 0
    while True:
        now = look(cluster, deployment, labels)
        seen(now)
        if now.done:
            return now
        if now.ready > ready:
            ready, end = now.ready, time.monotonic() + settings.ready_timeout
        if not to_the_end and (reason := now.refusal or _hopeless(now, settings)):
            raise ReleaseFailedError(f"{name}: {reason}")
        if time.monotonic() > end:
            raise ReleaseFailedError(f"{name}: {_late(now, settings)}")
        cluster.wait_change(
            reference("v1", "Pod", deployment["metadata"].get("namespace", "")), labels, now.version, _RESYNC
        )
        time.sleep(_CALM)  # pods change by the dozen


def _hopeless(now: RolloutState, settings: DeploySettings) -> str:
    for each in now.new:
        if each.problem:
            return f"pod {each.name}: {each.problem}"
        if each.restarts > settings.max_restarts:
            return (
                f"pod {each.name}: it restarted {each.restarts} times"
                f" ({each.ended or 'why is not known'}; LM_DEPLOY_MAX_RESTARTS: {settings.max_restarts})"
            )
    return ""


def _late(now: RolloutState, settings: DeploySettings) -> str:
    unready = [each for each in now.new if not each.ready]
    ready, wanted = len(now.new) - len(unready), now.deployment["spec"]["replicas"]
    first = f"; pod {unready[0].name}: {unready[0].problem or unready[0].waiting}" if unready else ""
    first = f"; {now.refusal}" if now.refusal else first
    return f"{ready} of {wanted} pods ready after {settings.ready_timeout:g} s (LM_DEPLOY_READY_TIMEOUT){first}"
