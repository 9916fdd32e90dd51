"""An environment's overlay, rendered by kustomize, and what a release makes of it."""

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lmservice import kustomize
from lmservice.deploy.errors import DeployUsageError
from lmservice.deploy.git import without_credentials
from lmservice.deploy.objects import CANARY, MADE_BY, MANAGER, TRACK, Object, canary_name, container, key
from lmservice.deploy.request import Artifact

_OVERLAYS = ("overlays/{}", "{}", "environments/{}")


@dataclass(frozen=True)
class Manifests:
    """The objects of a service in one environment, among them the Deployment that bears its name."""

    service: str
    objects: Sequence[Object] = field(repr=False)

    def __post_init__(self) -> None:
        if not any(_is_deployment(item, self.service) for item in self.objects):
            deployments = ", ".join(item["metadata"]["name"] for item in self.objects if item["kind"] == "Deployment")
            raise DeployUsageError(
                f"the overlay has no Deployment {self.service!r}, but: {deployments or 'none at all'}"
            )

    @property
    def deployment(self) -> Object:
        """Return the service's Deployment."""
        return next(item for item in self.objects if _is_deployment(item, self.service))

    @property
    def others(self) -> list[Object]:
        """Return everything else, what others refer to first."""
        order = {"Namespace": 0, "ServiceAccount": 1, "ConfigMap": 2, "Secret": 2, "Service": 3}
        rest = [item for item in self.objects if item is not self.deployment]
        return sorted(rest, key=lambda item: order.get(item["kind"], 9))

    @property
    def namespace(self) -> str:
        """Return where the overlay puts the Deployment; empty where it leaves that to the context."""
        return str(self.deployment["metadata"].get("namespace", ""))

    @property
    def image(self) -> str:
        """Return the image that the Deployment runs."""
        return str(container(self.deployment)["image"])

    @property
    def least_pods(self) -> int | None:
        """Return the least that a HorizontalPodAutoscaler asks for; None where none decides how many pods there are."""
        for item in self.objects:
            target = item["spec"]["scaleTargetRef"] if item["kind"] == "HorizontalPodAutoscaler" else {}
            if (target.get("kind"), target.get("name")) == ("Deployment", self.service):
                return int(item["spec"].get("minReplicas", 1))
        return None

    def with_artifact(self, artifact: Artifact) -> "Manifests":
        """Put this image into the Deployment's container."""
        objects = copy.deepcopy(list(self.objects))
        made = Manifests(self.service, objects)
        container(made.deployment)["image"] = str(artifact)
        return made

    def marked(self, made: Collection[str]) -> "Manifests":
        """Put lmservice's mark on the objects of these keys, and on no other."""
        return Manifests(self.service, [_with_mark(item, made=key(item) in made) for item in self.objects])

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
        made["metadata"].setdefault("annotations", {})[MADE_BY] = MANAGER
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
    places = [folder / place.format(environment) for place in _OVERLAYS]
    place = next((place for place in places if place.is_dir()), None)
    if place is None:
        raise DeployUsageError(
            f"there is no overlay of {environment!r} in {folder.name}: looked for {_relative(places)}"
        )
    return Manifests(service, _loaded(_rendered(place)))


def _relative(places: Sequence[Path]) -> str:
    return " and ".join(f"{place.parent.name}/{place.name}" for place in places[:2])


def _rendered(place: Path) -> bytes:
    try:
        return kustomize.render(place)
    except kustomize.NoProgramError:
        raise DeployUsageError("there is neither kubectl nor kustomize on PATH, which render the overlays") from None
    except kustomize.RenderError as error:
        reason = without_credentials(str(error))
        raise DeployUsageError(f"kustomize refuses the overlay: {reason[:500]}") from None


def _loaded(text: bytes) -> list[Object]:
    import yaml  # noqa: PLC0415 - of the extra

    return list(_flat(item for item in yaml.safe_load_all(text) if item))


def _flat(objects: Iterable[Object]) -> Iterable[Object]:
    for item in objects:
        if item["kind"] == "List":
            yield from _flat(item["items"])
        else:
            yield item


def _with_mark(item: Object, *, made: bool) -> Object:
    metadata = dict(item["metadata"])
    annotations = {name: text for name, text in metadata.pop("annotations", {}).items() if name != MADE_BY}
    annotations |= {MADE_BY: MANAGER} if made else {}
    return {**item, "metadata": {**metadata, "annotations": annotations} if annotations else metadata}


def _is_deployment(item: Object, name: str) -> bool:
    return bool(item["kind"] == "Deployment" and item["metadata"]["name"] == name)
