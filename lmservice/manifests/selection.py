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
    for manifest in objects:
        if manifest.kind in _SELECTORS:
            yield from _selector(manifest, pods)
        if manifest.kind in KINDS and not manifest.mapping("spec", "workloadRef"):
            yield from _own(manifest)
        if manifest.kind == "HorizontalPodAutoscaler":
            yield from _target(manifest, objects)
    yield from _twice(objects)


def _twice(objects: Sequence[Object]) -> Iterator[Finding]:
    """Find objects that are one to the API server."""
    seen: dict[tuple[str, ...], Object] = {}
    for manifest in objects:
        key = (str(manifest.value("apiVersion")).partition("/")[0], manifest.kind, manifest.namespace, manifest.name)
        if manifest.value("metadata", "name") is None:  # the API server makes another one of it each time
            continue
        if key in seen:
            expected = f"{seen[key].file} has one as well, and whichever is applied last counts"
            fix = "remove one; check the environments one at a time"
            yield manifest.finding(("metadata", "name"), manifest.name, expected, fix)
        seen.setdefault(key, manifest)


def _selector(of: Object, pods: Sequence[Object]) -> Iterator[Finding]:
    path = _SELECTORS[of.kind]
    wanted = of.mapping(*path)
    selector = {"matchLabels": wanted} if of.kind == "Service" else wanted
    beside = [maker for maker in pods if of.beside(maker)]
    if wanted and not any(selects(selector, labels(maker)) for maker in beside):
        labels_wanted = format_labels(wanted.get("matchLabels") or wanted)
        have = "; ".join(f"{maker} has {format_labels(labels(maker))}" for maker in beside) or "there is none"
        expected = f"no pod of the manifests has these labels: {have}"
        yield of.finding(path, labels_wanted, expected, "select those of the pods")


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
    known = [workload for workload in objects if workload.kind in KINDS and workload.beside(scaler)]
    if not any((workload.kind, workload.name) == (target.get("kind"), target.get("name")) for workload in known):
        target_name = f"{target.get('kind')} {target.get('name')}"
        have = ", ".join(map(str, known)) or "none"
        yield scaler.finding(path, target_name, f"the workloads here are {have}", "name one of them")


def shared(workload: Workload) -> Iterator[Finding]:
    """Find selectors that pick the pods of another workload beside the service's.

    So it is with two environments in one namespace: each Service sends to both, an autoscaler measures both, and of two
    PodDisruptionBudgets for one pod the eviction API refuses every eviction.
    """
    others = [other for other in running_pods(workload.objects) if _is_rival(other, workload)]
    for other in others:
        for of, path in _selectors_of(workload):
            wanted = of.mapping(*path)
            if wanted and selects({"matchLabels": wanted} if of.kind == "Service" else wanted, labels(other)):
                labels_wanted = format_labels(mapping(wanted.get("matchLabels")) or wanted)
                expected = f"the pods of {other} have these labels as well"
                fix = "add a label that only these pods have, such as app.kubernetes.io/instance"
                yield of.finding(path, labels_wanted, expected, fix)
    yield from _budgets(workload)


def _is_rival(other: Object, workload: Workload) -> bool:
    own = workload.object
    same = (other.kind, other.name) == (own.kind, own.name)  # which is told as such
    mine = same or _TRACK in labels(other)  # a canary is meant to have its share of the requests
    return other.kind in KINDS and other.beside(own) and not mine and not other.mapping("spec", "workloadRef")


def _selectors_of(workload: Workload) -> Iterator[tuple[Object, Path]]:
    yield workload.object, ("spec", "selector")
    for kind in ("Service", "PodDisruptionBudget"):
        for selecting in workload.others(kind):
            wanted = selecting.mapping(*_SELECTORS[kind])
            if wanted and workload.selected_by({"matchLabels": wanted} if kind == "Service" else wanted):
                yield selecting, _SELECTORS[kind]


def _budgets(workload: Workload) -> Iterator[Finding]:
    budgets = workload.others("PodDisruptionBudget")
    selectors = [(budget, budget.mapping("spec", "selector")) for budget in budgets]
    mine = [budget for budget, selector in selectors if selector and workload.selected_by(selector)]
    for budget in mine[1:]:
        expected = f"{mine[0]} is for the same pods: of two the API server lets no pod be evicted"
        yield budget.finding(("metadata", "name"), budget.name, expected, "remove one of the two")


def spread(workload: Workload) -> Iterator[Finding]:
    """Judge whether the pods are spread by labels that they have."""
    for path, constraint in workload.object.entries(*workload.pod, "topologySpreadConstraints"):
        selector = mapping(constraint.get("labelSelector"))
        if selector and not workload.selected_by(selector):
            wanted = format_labels(mapping(selector.get("matchLabels")))
            have = f"the pods have {format_labels(workload.labels)}"
            yield workload.object.finding(
                (*path, "labelSelector"), wanted, have, "select those: else nothing is spread"
            )
