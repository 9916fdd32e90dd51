"""A service to release on the fake cluster: its overlays, its releases, and what they said."""

import copy
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cluster_api.cluster import FakeCluster
from lmservice.deploy import DeployRequest, DeploySettings, Plan, Prospect, Record, Status
from lmservice.deploy import canary as release_by_canary
from lmservice.deploy import prospect as look_ahead
from lmservice.deploy import rollback as go_back
from lmservice.deploy import rolling as release_at_once
from lmservice.deploy import status as look

Object = dict[str, Any]
IMAGE = "registry.intra/shop"
QUICK: dict[str, Any] = {
    "analysis_duration": 0.5,
    "analysis_interval": 0.1,
    "stages": (50, 100),
    "ready_timeout": 5,
    "lease_duration": 5,
    "lock_wait": 2,
    "api_patience": 2,
    "rollback_patience": 3,
    "route_settle": 0.05,
}


def deployment(name: str = "shop", *, replicas: int | None = 2, env: Mapping[str, str] | None = None) -> Object:
    """Return a Deployment as an overlay has it."""
    container: Object = {
        "name": name,
        "image": IMAGE,
        "envFrom": [{"configMapRef": {"name": name}}],
        "ports": [{"name": "http", "containerPort": 8081}, {"name": "management", "containerPort": 8002}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "management"}},
    }
    if env:
        container["env"] = [{"name": key, "value": value} for key, value in env.items()]
    spec: Object = {
        "selector": {"matchLabels": {"app": name}},
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def service(name: str = "shop") -> Object:
    """Return a Service as an overlay has it."""
    spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def route(name: str = "shop") -> Object:
    """Return a route of the Gateway API to the Service."""
    spec = {"parentRefs": [{"name": "web"}], "rules": [{"backendRefs": [{"name": name, "port": 80}]}]}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name},
        "spec": spec,
    }


def autoscaler(least: int, most: int = 10, name: str = "shop") -> Object:
    """Return a HorizontalPodAutoscaler of the Deployment."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {"scaleTargetRef": target, "minReplicas": least, "maxReplicas": most},
    }


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the pipeline handles it."""


class Shop:
    """One service, in the environment `qa` unless another is named.

    Attributes:
        objects: what the next overlay that `describe` writes has beside its settings.
        settings: of its releases.
        events: what the last release said, in its order.
    """

    def __init__(self, cluster: FakeCluster, folder: Path, name: str = "shop", namespace: str = "team") -> None:
        self.cluster, self.name, self.namespace = cluster, name, namespace
        self.folder = folder / "deploy"
        self.objects = [deployment(name), service(name)]
        self.settings: dict[str, Any] = dict(QUICK)
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.during: dict[str, Callable[[], object]] = {}
        self.describe()

    def describe(self, environment: str = "qa", *, namespace: str | None = None, **literals: str) -> None:
        """Write the overlay, with these settings in its ConfigMap."""
        overlay = self.folder / "overlays" / environment
        overlay.mkdir(parents=True, exist_ok=True)
        text = "\n---\n".join(json.dumps(item) for item in self.objects)
        (overlay / "objects.yaml").write_text(text)
        values = [f"{key}={value}" for key, value in {"LM_ENVIRONMENT": environment, **literals}.items()]
        made = {
            "namespace": self.namespace if namespace is None else namespace,
            "resources": ["objects.yaml"],
            "configMapGenerator": [{"name": self.name, "literals": values}],
        }
        (overlay / "kustomization.yaml").write_text(json.dumps(made))

    def request(self, version: str = "") -> DeployRequest:
        """Return what is to be released."""
        request = DeployRequest(self.name).from_folder(self.folder)
        return request.with_artifact(IMAGE, version) if version else request

    def canary(
        self, version: str, environment: str = "qa", *, plan: Plan | None = None, force: bool = False, **more: Any
    ) -> Record:
        """Release by a canary."""
        self.events = []
        return release_by_canary(
            self.request(version), environment, plan=plan, settings=self._settings(more), force=force, observer=self
        )

    def rolling(self, version: str, environment: str = "qa", *, force: bool = False, **more: Any) -> Record:
        """Release at once."""
        self.events = []
        return release_at_once(
            self.request(version), environment, settings=self._settings(more), force=force, observer=self
        )

    def rollback(self, environment: str = "qa", *, to: int = 0, **more: Any) -> Record:
        """Go back."""
        self.events = []
        return go_back(self.request(), environment, to=to, settings=self._settings(more), observer=self)

    def status(self, environment: str = "qa", **more: Any) -> Status:
        """Return what is known of it."""
        return look(self.request(), environment, settings=self._settings(more))

    def prospect(self, version: str, environment: str = "qa", **more: Any) -> Prospect:
        """Return what a release would do."""
        return look_ahead(self.request(version), environment, settings=self._settings(more))

    def records(self) -> list[tuple[int, str, str, str]]:
        """Return number, version, strategy and outcome of each release."""
        return [
            (record.number, record.artifact.rpartition(":")[2], record.strategy, record.outcome)
            for record in self.status().records
        ]

    def is_whole_at(self, version: str, pods: int = 2) -> bool:
        """Return whether this version serves with all its pods, alone, within a second, and no canary is left."""
        wanted = {f"{IMAGE}:{version}": pods}, {self.name}
        end = time.monotonic() + 1  # the pods of a Deployment that was deleted go after it
        while (self.cluster.serving(self.namespace), self.cluster.names("Deployment", self.namespace)) != wanted:
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def runs_by_hand(self, version: str, manager: str = "kubectl-create", **literals: str) -> None:
        """Make what its overlay has, as somebody does without lmservice, and wait until it serves."""
        for item in copy.deepcopy(self.objects):
            item["metadata"].setdefault("namespace", self.namespace)
            if item["kind"] == "Deployment":
                container = item["spec"]["template"]["spec"]["containers"][0]
                container["image"] = f"{IMAGE}:{version}"
                container["envFrom"] = []
                container.setdefault("env", []).extend({"name": k, "value": v} for k, v in literals.items())
            self.cluster.make(item, manager)
        self.cluster.wait(lambda: self.cluster.serving(self.namespace))

    def said(self, name: str) -> list[Mapping[str, Any]]:
        """Return the details of the events of one name."""
        return [details for event, details in self.events if event == name]

    def text(self) -> str:
        """Return all that was said, one event a line."""
        return "\n".join(f"{name} {dict(details)}" for name, details in self.events)

    def __call__(self, name: str, details: Mapping[str, Any]) -> None:
        """Observe a release; `during` has what is to be done once at the first event of a name or of a step."""
        self.events.append((name, details))
        for key in (name, f"{name} {details.get('step', '')}"):
            if act := self.during.pop(key, None):
                act()

    def killed(self, moment: str, release: Callable[[], object]) -> None:
        """Kill a release's pipeline at its first event of this name: it does nothing any more."""

        def die() -> None:
            self.cluster.fails(".*", times=None, loses="before")
            raise Killed

        self.during[moment] = die
        try:
            release()
        except Killed:
            self.cluster.script.faults.clear()
        else:
            raise AssertionError(f"it never came to {moment}: {self.text()}")

    def _settings(self, more: Mapping[str, Any]) -> DeploySettings:
        return DeploySettings(**{**self.settings, **more})
