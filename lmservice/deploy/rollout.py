"""The rollout of one Deployment, which Kubernetes does and a watch follows, to its end or to what makes it hopeless."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lmservice.deploy.cluster import Cluster
from lmservice.deploy.errors import ReleaseFailedError
from lmservice.deploy.objects import Object, container, reference, selector
from lmservice.deploy.overlay import Manifests
from lmservice.deploy.plan import Plan
from lmservice.deploy.pods import Pod, read_pod, template_of
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
        return [pod for pod in self.pods if self.template and pod.template == self.template]

    @property
    def ready(self) -> int:
        """Return how many of those are ready."""
        return sum(pod.ready for pod in self.new)

    @property
    def serving(self) -> int:
        """Return how many of the stable version's pods are ready, whatever their template."""
        return sum(pod.ready and not pod.canary and not pod.ending for pod in self.pods)

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
    def pause(self) -> str:
        """Return what to do about a rollout that somebody has paused; empty where nobody has."""
        return "its rollout is paused: kubectl rollout resume goes on with it" if self._is_paused else ""

    @property
    def _is_paused(self) -> bool:
        return bool(self.deployment["spec"].get("paused"))

    @property
    def refusal(self) -> str:
        """Return why Kubernetes cannot make the pods, or has given up; empty while it goes on."""
        if self.pause:
            return self.pause
        if not (self._observed and self.template):
            return ""
        conditions = {
            condition["type"]: condition for condition in self.deployment.get("status", {}).get("conditions", [])
        }
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
    live = cluster.get(deployment)
    if live is None:
        raise ReleaseFailedError(f"the Deployment {deployment['metadata']['name']} was deleted meanwhile")
    namespace = live["metadata"]["namespace"]
    sets = cluster.list(reference("apps/v1", "ReplicaSet", namespace), selector(live))
    listed = cluster.list(reference("v1", "Pod", namespace), labels)
    name = container(live)["name"]
    pods = [read_pod(item, name) for item in listed["items"]]
    return RolloutState(live, pods, template_of(sets["items"], live), listed["metadata"]["resourceVersion"])


def follow(
    cluster: Cluster,
    deployment: Object,
    labels: str,
    *,
    settings: DeploySettings,
    seen: Callable[[RolloutState], None],
    forgiving: bool = False,
) -> RolloutState:
    """Return once the rollout is done; `seen` is called with every look, and may raise to end it.

    Args:
        cluster: where.
        deployment: which, as it was applied.
        labels: a selector of all pods of the service.
        settings: `ready_timeout` is how long it may go without one more pod getting ready.
        seen: called with every look.
        forgiving: whether it is a version that served before: it may have restarted long ago, and pods that the cluster
            refuses it have room again once the others are gone.

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
        if reason := _cannot_end(now, settings, forgiving=forgiving):
            raise ReleaseFailedError(f"{name}: {reason}")
        if time.monotonic() > end:
            raise ReleaseFailedError(f"{name}: {_late(now, settings)}")
        cluster.wait_change(
            reference("v1", "Pod", deployment["metadata"].get("namespace", "")), labels, now.version, _RESYNC
        )
        time.sleep(_CALM)  # pods change by the dozen


def _cannot_end(now: RolloutState, settings: DeploySettings, *, forgiving: bool) -> str:
    """Return why waiting does not help; empty where it may."""
    refusal = now.pause if forgiving else now.refusal
    if refusal:
        return refusal
    for pod in now.new:
        if pod.problem:
            return f"pod {pod.name}: {pod.problem}"
        if not forgiving and pod.restarts > settings.max_restarts:
            return (
                f"pod {pod.name}: it restarted {pod.restarts} times"
                f" ({pod.ended or 'why is not known'}; LM_DEPLOY_MAX_RESTARTS: {settings.max_restarts})"
            )
    return ""


def _late(now: RolloutState, settings: DeploySettings) -> str:
    ready, wanted = sum(pod.ready for pod in now.new), now.deployment["spec"]["replicas"]
    first = now.refusal or _first_unready(now.new)
    after = f"after {settings.ready_timeout:g} s (LM_DEPLOY_READY_TIMEOUT)"
    return f"{ready} of {wanted} pods ready {after}{first and '; '}{first}"


def what_ails(now: RolloutState) -> str:
    """Return what a Deployment that is to serve lacks, for a person; empty where it serves whole."""
    wanted = now.deployment["spec"]["replicas"]
    if now.serving >= wanted and (now.done or not now.new):
        return ""
    stable = [pod for pod in now.pods if not pod.canary and not pod.ending]
    first = _first_unready(now.new or stable) or now.refusal
    return f"does not serve whole: {now.serving} of {wanted} pods ready{first and '; '}{first}"


def _first_unready(pods: Sequence[Pod]) -> str:
    """Name a pod that is not ready, one that cannot get ready before one that has only begun."""
    unready = min((pod for pod in pods if not pod.ready), key=lambda pod: not pod.problem, default=None)
    return f"pod {unready.name}: {unready.problem or unready.waiting}" if unready else ""


def comparable(plan: Plan, old: str, now: RolloutState | None) -> tuple[Plan, str]:
    """Return the plan without its canary where nothing serves to compare it with, and why; else as it is.

    Args:
        plan: the steps.
        old: the artifact of the release before; empty where there is none.
        now: the stable version at this moment; None where it is not there.
    """
    if len(plan.steps) == 1 or (old and now and now.serving):
        return plan, ""
    only = Plan(plan.steps[-1:])
    if not old:
        return only, "nothing runs yet to compare with: the canary is left out"
    why = what_ails(now).partition(": ")[2] if now else "it is not there"
    return only, f"{old} does not serve ({why}): there is nothing to compare with, the canary is left out"


def sized(cluster: Cluster, manifests: Manifests) -> Object:
    """Return the Deployment at the size that it has where an autoscaler decides it, or where its manifest names none.

    The first of them has as many pods as its autoscaler asks for at the least.
    """
    deployment, least = manifests.deployment, manifests.least_pods
    if least is None and "replicas" in deployment["spec"]:
        return deployment
    live = cluster.get(deployment)
    size = live["spec"]["replicas"] if live else max(least or 0, deployment["spec"].get("replicas", 0))
    return {**deployment, "spec": {**deployment["spec"], "replicas": size}} if size or live else deployment
