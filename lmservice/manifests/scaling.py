"""The rules for sizes: there are always pods, while a release rolls out, a node is drained, or load grows."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from lmservice.manifests.finding import Finding
from lmservice.manifests.objects import Object, Path, dig, mapping, number, share, shown
from lmservice.manifests.workload import Workload

_UPDATE = ("spec", "strategy", "rollingUpdate")
_FEWER = "each release would serve with fewer pods than are wanted"
_PROGRESS = 600  # seconds, Kubernetes' default


def judge(workload: Workload) -> Iterator[Finding]:
    """Judge the rollout, the autoscaler and the disruption budget."""
    if _sized(workload).kind == "Rollout":
        yield from _canary(_sized(workload))
    elif workload.object.kind == "Deployment":
        yield from _rollout(workload)
    else:
        yield from _by_hand(workload)
    for scaler in _scalers(workload):
        yield from _scaler(workload, scaler)
    for budget in workload.others("PodDisruptionBudget"):
        if workload.selected_by(budget.value("spec", "selector")):
            yield from _budget(workload, budget)


def _sized(workload: Workload) -> Object:
    """Return what has the number of pods: the workload, or an Argo Rollout that takes them over by `workloadRef`."""
    own = workload.object
    takers = (rollout for rollout in workload.others("Rollout") if _refers(rollout, own))
    return next(takers, own)


def _refers(rollout: Object, workload: Object) -> bool:
    reference = rollout.mapping("spec", "workloadRef")
    return (reference.get("kind"), reference.get("name")) == (workload.kind, workload.name)


def _canary(rollout: Object) -> Iterator[Finding]:
    path = ("spec", "strategy", "canary", "maxUnavailable")
    unavailable = rollout.value(*path)
    if unavailable is not None and share(unavailable, 0, 100) != 0:
        yield rollout.finding(path, unavailable, _FEWER, "set it to 0")


def _by_hand(workload: Workload) -> Iterator[Finding]:
    path: Path = ("spec", "updateStrategy", "type")
    kind = workload.object.value(*path)
    if kind == "OnDelete":
        expected = "a release replaces no pod until somebody deletes it"
        yield workload.object.finding(path, kind, expected, "use RollingUpdate")


def _rollout(workload: Workload) -> Iterator[Finding]:
    deployment = workload.object
    if deployment.value("spec", "paused") is True:
        yield deployment.finding(("spec", "paused"), "true", "no release would replace a pod", "remove it")
    kind = deployment.value("spec", "strategy", "type")
    if kind == "Recreate":
        path: Path = ("spec", "strategy", "type")
        fix = "use RollingUpdate with maxUnavailable: 0"
        yield deployment.finding(path, kind, "every release would stop all pods before it starts any", fix)
        return
    _, _, pods = least_pods(workload)
    unavailable = deployment.value(*_UPDATE, "maxUnavailable")
    if share(unavailable, "25%", pods) != 0 or unavailable is None:
        current = shown(unavailable) if unavailable is not None else "missing, which is 25%"
        yield deployment.finding((*_UPDATE, "maxUnavailable"), current, _FEWER, "set it to 0")
    surge = deployment.value(*_UPDATE, "maxSurge")
    if share(surge, "25%", pods) == 0:
        path = (*_UPDATE, "maxSurge")
        yield deployment.finding(
            path, surge, "with maxUnavailable 0 no release could ever begin", "set it to 1 or more"
        )
    yield from _deadline(workload)


def _deadline(workload: Workload) -> Iterator[Finding]:
    deadline, limit = workload.object.value("spec", "progressDeadlineSeconds"), workload.settings.startup_timeout
    if number(deadline, _PROGRESS) <= limit:
        current = deadline if deadline is not None else f"missing, which is {_PROGRESS}"
        fix = "raise it above that"
        path = ("spec", "progressDeadlineSeconds")
        yield workload.object.finding(path, current, f"LM_STARTUP_TIMEOUT is {limit:g} s", fix)


def _scalers(workload: Workload) -> list[Object]:
    sized = _sized(workload)
    target = {"kind": sized.kind, "name": sized.name}
    return [
        scaler for scaler in workload.others("HorizontalPodAutoscaler")
        if target.items() <= scaler.mapping("spec", "scaleTargetRef").items()
    ]  # fmt: skip


def least_pods(workload: Workload) -> tuple[Object, Path, float]:
    """Return how many pods there are when there is little to do, and what says so, and where."""
    scalers = _scalers(workload)
    if scalers:
        path: Path = ("spec", "minReplicas")
        return scalers[0], path, number(scalers[0].value(*path), 1)
    for scaler in workload.others("ScaledObject"):  # KEDA's
        if scaler.mapping("spec", "scaleTargetRef").get("name") == _sized(workload).name:
            path = ("spec", "minReplicaCount")
            return scaler, path, max(1, number(scaler.value(*path), 0))
    sized, path = _sized(workload), ("spec", "replicas")
    return sized, path, number(sized.value(*path), 1)


def _scaler(workload: Workload, scaler: Object) -> Iterator[Finding]:
    least, most = (scaler.value("spec", name) for name in ("minReplicas", "maxReplicas"))
    if number(least, 1) > number(most, 0):
        fix = "raise maxReplicas, or lower minReplicas"
        yield scaler.finding(("spec", "minReplicas"), least, f"maxReplicas is {shown(most)}", fix)
    sized = _sized(workload)
    replicas = sized.value("spec", "replicas")
    if replicas is not None and not sized.value("metadata", "uid"):  # one that the API server tells has it always
        fix = "remove it: the autoscaler owns the size"
        expected = f"{scaler} sets it, and every apply would set it back"
        yield sized.finding(("spec", "replicas"), replicas, expected, fix)
    yield from _utilization(workload, scaler)


def _utilization(workload: Workload, scaler: Object) -> Iterator[Finding]:
    """Find targets of utilization, a share of what every container of the pod requests, where one requests nothing."""
    for path, metric in scaler.entries("spec", "metrics"):
        resource = mapping(metric.get("resource"))
        if dig(resource, "target", "type") == "Utilization":
            name = str(resource.get("name"))
            for where, container in _running(workload):
                if not _requests(container, name):
                    expected = f"container {workload.object.value(*where, 'name')} requests no {name} to measure it by"
                    fix = f"set resources.requests.{name} there, or use a ContainerResource of {workload.value('name')}"
                    yield scaler.finding((*path, "resource", "name"), name, expected, fix)
        yield from _container_metric(workload, scaler, path)


def _requests(container: Mapping[str, Any], name: str) -> bool:
    """Return whether a container requests a resource; what it limits alone, it requests as much."""
    return any(dig(container, "resources", kind, name) is not None for kind in ("requests", "limits"))


def _running(workload: Workload) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield the containers that run for as long as the pod, native sidecars among them."""
    yield from workload.object.entries(*workload.pod, "containers")
    for path, container in workload.object.entries(*workload.pod, "initContainers"):
        if container.get("restartPolicy") == "Always":
            yield path, container


def _container_metric(workload: Workload, scaler: Object, path: Path) -> Iterator[Finding]:
    where = (*path, "containerResource", "container")
    name = scaler.value(*where)
    names = [str(container.get("name")) for _, container in _running(workload)]
    if name is not None and name not in names:
        yield scaler.finding(where, name, f"the pods' containers are {', '.join(names)}", "name one of them")


def _budget(workload: Workload, budget: Object) -> Iterator[Finding]:
    _, _, pods = least_pods(workload)
    least, most = (budget.value("spec", name) for name in ("minAvailable", "maxUnavailable"))
    if least is not None and most is not None:
        fix = "remove one of the two"
        yield budget.finding(("spec", "minAvailable"), least, f"maxUnavailable is {shown(most)} beside it", fix)
    if least is not None and math.ceil(share(least, 0, pods)) >= pods:
        fix = "use maxUnavailable: 1"
        expected = f"{workload.object} may have {pods:g} pods: no node could ever be drained"
        yield budget.finding(("spec", "minAvailable"), least, expected, fix)
    if most is not None and math.ceil(share(most, 0, pods)) == 0:
        expected = "it lets no pod go: no node could ever be drained"
        yield budget.finding(("spec", "maxUnavailable"), most, expected, "use maxUnavailable: 1")
