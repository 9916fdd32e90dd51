"""The rules for selection: what is meant to find pods by their labels, or a workload by its name, finds any."""

from collections.abc import Iterator, Sequence

from lmservice.manifests.finding import Finding
from lmservice.manifests.objects import Object, Path, format_labels, mapping, selects, shown
from lmservice.manifests.workload import KINDS, Workload, labels, running_pods

_SELECTORS: dict[str, Path] = {
    "Service": ("spec", "selector"),
    "PodDisruptionBudget": ("spec", "selector"),
    "NetworkPolicy": ("spec", "podSelector"),
    "PodMonitor": ("spec", "selector"),
}


def judge(objects: Sequence[Object]) -> Iterator[Finding]:
    """Judge every selector and every autoscaler's target, and that nothing is there twice."""
    pods = running_pods(objects)
    for each in objects:
        if each.kind in _SELECTORS:
            yield from _selector(each, pods)
        if each.kind in KINDS and not each.mapping("spec", "workloadRef"):
            yield from _own(each)
        if each.kind == "HorizontalPodAutoscaler":
            yield from _target(each, objects)
    yield from _twice(objects)


def _twice(objects: Sequence[Object]) -> Iterator[Finding]:
    """Find objects that are one to the API server."""
    seen: dict[tuple[str, ...], Object] = {}
    for each in objects:
        key = (str(each.value("apiVersion")).partition("/")[0], each.kind, each.namespace, each.name)
        if each.value("metadata", "name") is None:  # the API server makes another one of it each time
            continue
        if key in seen:
            expected = f"{seen[key].file} has one as well, and whichever is applied last counts"
            fix = "remove one; check the environments one at a time"
            yield each.finding(("metadata", "name"), each.name, expected, fix)
        seen.setdefault(key, each)


def _selector(of: Object, pods: Sequence[Object]) -> Iterator[Finding]:
    path = _SELECTORS[of.kind]
    given = of.mapping(*path)
    selector = {"matchLabels": given} if of.kind == "Service" else given
    beside = [each for each in pods if of.beside(each)]
    if given and not any(selects(selector, labels(each)) for each in beside):
        found = ", ".join(f"{key}={value}" for key, value in (given.get("matchLabels") or given).items())
        have = "; ".join(f"{each} has {format_labels(labels(each))}" for each in beside) or "there is none"
        yield of.finding(path, found, f"no pod of the manifests has these labels: {have}", "select those of the pods")


def _own(workload: Object) -> Iterator[Finding]:
    path = ("spec", "selector", "matchLabels")
    for name, value in workload.mapping(*path).items():
        here = labels(workload).get(name)
        if here != value:
            fix = "let both be the same: the API server refuses anything else"
            yield workload.finding((*path, str(name)), value, f"the pods' label is {shown(here)}", fix)


def _target(scaler: Object, objects: Sequence[Object]) -> Iterator[Finding]:
    path = ("spec", "scaleTargetRef")
    target = scaler.mapping(*path)
    known = [each for each in objects if each.kind in KINDS and each.beside(scaler)]
    if not any((each.kind, each.name) == (target.get("kind"), target.get("name")) for each in known):
        found = f"{target.get('kind')} {target.get('name')}"
        have = ", ".join(map(str, known)) or "none"
        yield scaler.finding(path, found, f"the workloads here are {have}", "name one of them")


def spread(workload: Workload) -> Iterator[Finding]:
    """Judge whether the pods are spread by labels that they have."""
    for path, constraint in workload.object.entries(*workload.pod, "topologySpreadConstraints"):
        selector = mapping(constraint.get("labelSelector"))
        if selector and not workload.selected_by(selector):
            found = format_labels(mapping(selector.get("matchLabels")))
            have = f"the pods have {format_labels(workload.labels)}"
            yield workload.object.finding((*path, "labelSelector"), found, have, "select those: else nothing is spread")
