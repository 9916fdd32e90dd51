"""The workload that runs a service: its pods, the service's own container in them, and what its settings come to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lmservice.manifests.finding import Finding
from lmservice.manifests.objects import Object, Path, mapping, selects, sequence
from lmservice.manifests.variables import Variables
from lmservice.settings.model import Settings, load_leniently
from lmservice.settings.variables import PREFIX

KINDS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Rollout")
_TEMPLATE = ("spec", "template")
_PODS: dict[str, Path] = {
    **dict.fromkeys((*KINDS, "Job"), _TEMPLATE),
    "Pod": (),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
_HOOKS = ("helm.sh/hook", "argocd.argoproj.io/hook")
_NAME_LABELS = ("app.kubernetes.io/name", "app")


@dataclass(frozen=True, eq=False)
class Workload:
    """One object that runs the service.

    Attributes:
        object: the Deployment, or its like.
        container: where the service's container stands in it.
        objects: everything that was rendered with it.
        settings_class: the service's.
        outside: variables that the container may have from its image.
        takes_requests: whether the service has a port for them.
    """

    object: Object
    container: Path
    objects: Sequence[Object]
    settings_class: type[Settings]
    outside: Mapping[str, str]
    takes_requests: bool = True

    @property
    def template(self) -> Path:
        """Return where the pods are described."""
        return _PODS[self.object.kind]

    @property
    def pod(self) -> Path:
        """Return where the pods' `spec` is."""
        return (*self.template, "spec")

    @property
    def labels(self) -> Mapping[str, Any]:
        """Return the labels of the pods."""
        return labels(self.object)

    @cached_property
    def variables(self) -> Variables:
        """Return what the container's environment has."""
        return Variables(self.object, self.container, self.objects)

    @cached_property
    def settings(self) -> Settings:
        """Read lmservice's own settings as the container has them, bad ones at their defaults."""
        return load_leniently(self.settings_class, {**self.outside, **self.variables.known})

    @cached_property
    def ports(self) -> dict[str, Any]:
        """Return the container's ports by their names."""
        ports = self.object.entries(*self.container, "ports")
        return {str(port["name"]): port.get("containerPort") for _, port in ports if port.get("name")}

    @cached_property
    def beside(self) -> set[Any]:
        """Return names and numbers of the ports of the pod's other containers, which stand beside the service's."""
        ports: set[Any] = set()
        for kind in ("containers", "initContainers"):
            for path, _ in self.object.entries(*self.pod, kind):
                if path != self.container:
                    listed = [port for _, port in self.object.entries(*path, "ports")]
                    ports |= {str(port[key]) for port in listed for key in ("name", "containerPort") if key in port}
        return ports

    def port(self, value: Any) -> Any:
        """Return the number of a port that is given by number or by name; None where there is none of that name."""
        return self.ports.get(value) if isinstance(value, str) else value

    def value(self, *path: str | int) -> Any:
        """Return what stands in the service's container."""
        return self.object.value(*self.container, *path)

    def finding(self, path: Path, value: Any, expected: str, fix: str) -> Finding:
        """Return a finding about the service's container."""
        return self.object.finding((*self.container, *path), value, expected, fix)

    def others(self, *kinds: str) -> Iterator[Object]:
        """Yield what was rendered for the same namespace, of some kinds."""
        return (manifest for manifest in self.objects if manifest.kind in kinds and manifest.beside(self.object))

    def selected_by(self, selector: Any) -> bool:
        """Return whether a label selector picks the service's pods."""
        return selects(selector, self.labels)


def labels(of: Object) -> Mapping[str, Any]:
    """Return the labels of the pods that a workload makes."""
    return of.mapping(*_PODS[of.kind], "metadata", "labels")


def running_pods(objects: Sequence[Object]) -> list[Object]:
    """Return whatever of these makes pods."""
    return [manifest for manifest in objects if manifest.kind in _PODS]


def find(
    name: str, objects: Sequence[Object], settings_class: type[Settings], outside: Mapping[str, str]
) -> Iterator[Workload | Finding]:
    """Find the workloads that run the service of that name; else why there is none.

    Those count that carry its name, or else those that set `LM_` variables, or else the only one.
    """
    known = [candidate for candidate in objects if _may_serve(candidate)]
    wanted = name.lower().translate(str.maketrans("._", "--"))
    mine = [candidate for candidate in known if _is_named(candidate, wanted)] or [
        candidate for candidate in known if _runs_lmservice(candidate)
    ]
    for candidate in mine or (known if len(known) == 1 else []):
        yield _workload(candidate, wanted, objects, settings_class, outside)
    if not mine and len(known) != 1:
        yield _none(wanted, known, objects)


def _may_serve(of: Object) -> bool:
    """Return whether it is neither a hook, such as a chart's test, nor a Rollout that takes over a Deployment."""
    hook = any(name in of.mapping("metadata", "annotations") for name in _HOOKS)
    return of.kind in (*KINDS, "Pod") and not hook and not of.mapping("spec", "workloadRef")


def _is_named(of: Object, wanted: str) -> bool:
    return of.name == wanted or wanted in (labels(of).get(label) for label in _NAME_LABELS)


def _runs_lmservice(of: Object) -> bool:
    return any(_speaks_of_lmservice(container) for _, container in of.entries(*_PODS[of.kind], "spec", "containers"))


def _speaks_of_lmservice(container: Mapping[str, Any]) -> bool:
    words = [str(word) for part in ("command", "args") for word in sequence(container.get(part))]
    names = [str(mapping(entry).get("name")) for entry in sequence(container.get("env"))]
    return any("lmservice" in word for word in words) or any(name.startswith(PREFIX) for name in names)


def _workload(
    of: Object, wanted: str, objects: Sequence[Object], settings_class: type[Settings], outside: Mapping[str, str]
) -> Workload | Finding:
    path = (*_PODS[of.kind], "spec", "containers")
    containers = list(of.entries(*path))
    named = [where for where, container in containers if container.get("name") in (wanted, of.name)]
    speaking = [where for where, container in containers if _speaks_of_lmservice(container)]
    for candidates in ([where for where, _ in containers], named, speaking):
        if len(candidates) == 1:
            return Workload(of, candidates[0], objects, settings_class, outside)
    names = ", ".join(str(container.get("name")) for _, container in containers) or None
    return of.finding(path, names, f"one of them must be {wanted}'s", f"name the service's container {wanted}")


def _none(wanted: str, known: Sequence[Object], objects: Sequence[Object]) -> Finding:
    first = (list(known) or list(objects))[0]
    candidates = ", ".join(map(str, known)) or "no workload"
    fix = f"label its Deployment app.kubernetes.io/name: {wanted}"
    return Finding(first.file, 1, "", "", f"{candidates} found", f"none of them is {wanted}'s", fix)
