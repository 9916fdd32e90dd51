"""An environment's overlay, rendered by kustomize, and what a release makes of it."""

import copy
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lmservice.deploy.errors import DeployUsageError
from lmservice.deploy.git import without_credentials
from lmservice.deploy.objects import CANARY, TRACK, Object, canary_name, container
from lmservice.deploy.request import Artifact

_RENDER_TIMEOUT = 60.0
_OVERLAYS = ("overlays/{}", "{}", "environments/{}")


@dataclass(frozen=True)
class Manifests:
    """The objects of a service in one environment, among them the Deployment that bears its name."""

    service: str
    objects: Sequence[Object] = field(repr=False)

    def __post_init__(self) -> None:
        if not any(_is_deployment(each, self.service) for each in self.objects):
            found = ", ".join(each["metadata"]["name"] for each in self.objects if each["kind"] == "Deployment")
            raise DeployUsageError(f"the overlay has no Deployment {self.service!r}, but: {found or 'none at all'}")

    @property
    def deployment(self) -> Object:
        """Return the service's Deployment."""
        return next(each for each in self.objects if _is_deployment(each, self.service))

    @property
    def others(self) -> list[Object]:
        """Return everything else, what others refer to first."""
        order = {"Namespace": 0, "ServiceAccount": 1, "ConfigMap": 2, "Secret": 2, "Service": 3}
        rest = [each for each in self.objects if each is not self.deployment]
        return sorted(rest, key=lambda each: order.get(each["kind"], 9))

    @property
    def namespace(self) -> str:
        """Return where the overlay puts the Deployment; empty where it leaves that to the context."""
        return str(self.deployment["metadata"].get("namespace", ""))

    @property
    def image(self) -> str:
        """Return the image that the Deployment runs."""
        return str(container(self.deployment)["image"])

    @property
    def scaled(self) -> bool:
        """Return whether a HorizontalPodAutoscaler decides how many pods there are."""
        targets = [each["spec"]["scaleTargetRef"] for each in self.objects if each["kind"] == "HorizontalPodAutoscaler"]
        return {"kind": "Deployment", "name": self.service} in [
            {"kind": each.get("kind"), "name": each.get("name")} for each in targets
        ]

    def with_artifact(self, artifact: Artifact) -> "Manifests":
        """Put this image into the Deployment's container."""
        objects = copy.deepcopy(list(self.objects))
        made = Manifests(self.service, objects)
        container(made.deployment)["image"] = str(artifact)
        return made

    def in_namespace(self, namespace: str) -> "Manifests":
        """Give those a namespace that name none; what has no namespaces ignores it."""
        objects = copy.deepcopy(list(self.objects))
        for each in objects:
            each["metadata"].setdefault("namespace", namespace)
        return Manifests(self.service, objects)

    def annotated(self, annotations: Mapping[str, str]) -> "Manifests":
        """Put these annotations on the Deployment."""
        objects = copy.deepcopy(list(self.objects))
        made = Manifests(self.service, objects)
        made.deployment["metadata"].setdefault("annotations", {}).update(annotations)
        return made

    def canary(self, pods: int) -> Object:
        """Make the second Deployment: the same pods, told apart by a label, found by the same Service."""
        made = copy.deepcopy(self.deployment)
        made["metadata"]["name"] = canary_name(self.service)
        made["metadata"].setdefault("labels", {})[TRACK] = CANARY
        spec = made["spec"]
        spec["replicas"] = pods
        spec["selector"].setdefault("matchLabels", {})[TRACK] = CANARY
        spec["template"]["metadata"].setdefault("labels", {})[TRACK] = CANARY
        return made


def render(folder: Path, environment: str, service: str) -> Manifests:
    """Render the overlay of an environment: `overlays/ENVIRONMENT` of the folder, or `ENVIRONMENT`.

    Raises:
        DeployUsageError: there is none, kustomize refuses it, or it has no Deployment of that name.
    """
    places = [folder / each.format(environment) for each in _OVERLAYS]
    place = next((each for each in places if each.is_dir()), None)
    if place is None:
        raise DeployUsageError(
            f"there is no overlay of {environment!r} in {folder.name}: looked for {_relative(places)}"
        )
    return Manifests(service, _loaded(_kustomize(place)))


def _relative(places: Sequence[Path]) -> str:
    return " and ".join(f"{place.parent.name}/{place.name}" for place in places[:2])


def _kustomize(place: Path) -> str:
    try:
        ran = subprocess.run(  # noqa: S603 - a folder, as a word of its own
            ["kubectl", "kustomize", "--", str(place)],  # noqa: S607 - the kubectl on PATH
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_RENDER_TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        raise DeployUsageError("there is no kubectl on PATH, which renders the overlays") from None
    except subprocess.TimeoutExpired:
        raise DeployUsageError(f"kubectl kustomize took longer than {_RENDER_TIMEOUT:g} s") from None
    if ran.returncode:
        said = without_credentials(" ".join(ran.stderr.split()))
        raise DeployUsageError(f"kustomize refuses the overlay: {said[:500]}")
    return ran.stdout


def _loaded(text: str) -> list[Object]:
    import yaml  # noqa: PLC0415 - of the extra

    return list(_flat(each for each in yaml.safe_load_all(text) if each))


def _flat(objects: Iterable[Object]) -> Iterable[Object]:
    for each in objects:
        if each["kind"] == "List":
            yield from _flat(each["items"])
        else:
            yield each


def _is_deployment(item: Object, name: str) -> bool:
    return bool(item["kind"] == "Deployment" and item["metadata"]["name"] == name)
