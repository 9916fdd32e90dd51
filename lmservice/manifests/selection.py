"""The rules for selection: what is meant to find pods by their labels, or a workload by its name, finds any."""

from collections.abc import Iterator, Sequence

from lmservice.manifests.finding import Finding
from lmservice.manifests.objects import Object, Path, format_labels, mapping, selects, shown
from lmservice.manifests.workload import KINDS, Workload, labels, running_pods

_TRACK = "lmservice.dev/track"
"""The label by which a release of lmservice knows its canary's pods."""

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


def shared(workload: Workload) -> Iterator[Finding]:
    """Find selectors that pick the pods of another workload beside the service's.

    So it is with two environments in one namespace: each Service sends to both, an autoscaler measures both, and of two
    PodDisruptionBudgets for one pod the eviction API refuses every eviction.
    """
    others = [each for each in running_pods(workload.objects) if _is_rival(each, workload)]
    for other in others:
        for of, path in _selectors_of(workload):
            given = of.mapping(*path)
            if given and selects({"matchLabels": given} if of.kind == "Service" else given, labels(other)):
                found = format_labels(mapping(given.get("matchLabels")) or given)
                expected = f"the pods of {other} have these labels as well"
                fix = "add a label that only these pods have, such as app.kubernetes.io/instance"
                yield of.finding(path, found, expected, fix)
    yield from _budgets(workload)


def _is_rival(other: Object, workload: Workload) -> bool:
    own = workload.object
    same = (other.kind, other.name) == (own.kind, own.name)  # which is told as such
    mine = same or _TRACK in labels(other)  # a canary is meant to have its share of the requests
    return other.kind in KINDS and other.beside(own) and not mine and not other.mapping("spec", "workloadRef")


def _selectors_of(workload: Workload) -> Iterator[tuple[Object, Path]]:
    yield workload.object, ("spec", "selector")
    for kind in ("Service", "PodDisruptionBudget"):
        for each in workload.others(kind):
            given = each.mapping(*_SELECTORS[kind])
            if given and workload.selected_by({"matchLabels": given} if kind == "Service" else given):
                yield each, _SELECTORS[kind]


def _budgets(workload: Workload) -> Iterator[Finding]:
    mine = [each for each in workload.others("PodDisruptionBudget")
            if each.mapping("spec", "selector") and workload.selected_by(each.value("spec", "selector"))]  # fmt: skip
    for budget in mine[1:]:
        expected = f"{mine[0]} is for the same pods: of two the API server lets no pod be evicted"
        yield budget.finding(("metadata", "name"), budget.name, expected, "remove one of the two")


def spread(workload: Workload) -> Iterator[Finding]:
    """Judge whether the pods are spread by labels that they have."""
    for path, constraint in workload.object.entries(*workload.pod, "topologySpreadConstraints"):
        selector = mapping(constraint.get("labelSelector"))
        if selector and not workload.selected_by(selector):
            found = format_labels(mapping(selector.get("matchLabels")))
            have = f"the pods have {format_labels(workload.labels)}"
            yield workload.object.finding((*path, "labelSelector"), found, have, "select those: else nothing is spread")
