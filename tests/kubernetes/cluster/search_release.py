"""The search service under release, by the manifests of its own `deploy/`, on a PostgreSQL of this machine."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from strict_client import request_bytes
from trial_service import TrialService

DEPLOY = Path(__file__).resolve().parents[3] / "examples" / "search-service" / "deploy"
NAME = "search-service"
FLIGHTS = "/flights?origin=JFK&destination=LAX&date=2013-07-04&limit=5"
MONITORING = {"PodMonitor": "monitoring.coreos.com/v1", "PrometheusRule": "monitoring.coreos.com/v1"}
"""Kinds that only a cluster with Prometheus' operator knows."""
SURGE = 10
"""Pods beyond the wanted number in a release of many on one node: more would only start later, all together."""
SCALER = {"HorizontalPodAutoscaler": "autoscaling/v2"}


def write_overlay(
    folder: Path, settings: Mapping[str, str], *, namespace: str, host: str, replicas: int | None = None
) -> None:
    """Writes `deploy/` of the search service, with further settings for `qa`; a number of replicas ends its scaling."""
    shutil.copytree(DEPLOY, folder / "deploy", dirs_exist_ok=True)
    file = folder / "deploy" / "overlays" / "qa" / "kustomization.yaml"
    literals = "".join(f"\n      - {name}={value}" for name, value in settings.items())
    text = file.read_text().replace("      - LM_ENVIRONMENT=qa", f"      - LM_ENVIRONMENT=qa{literals}")
    text = text.replace("namespace: search-qa", f"namespace: {namespace}")
    text = text.replace("search-service.qa.mykubecluster.intra", host)
    patches = [_deletion(kind, version) for kind, version in {**MONITORING, **(SCALER if replicas else {})}.items()]
    if replicas:
        patches.append(_small(replicas))
    file.write_text(text + "".join(f"  - {json.dumps(patch)}\n" for patch in patches))


def _deletion(kind: str, version: str) -> dict[str, Any]:
    return {"patch": json.dumps({"$patch": "delete", "apiVersion": version, "kind": kind, "metadata": {"name": NAME}})}


def _small(replicas: int) -> dict[str, Any]:
    requests = "/spec/template/spec/containers/0/resources/requests"
    steps = [
        {"op": "add", "path": "/spec/replicas", "value": replicas},
        {"op": "replace", "path": requests, "value": {"cpu": "10m", "memory": "16Mi"}},
        {"op": "replace", "path": "/spec/strategy/rollingUpdate/maxSurge", "value": SURGE},
    ]
    return {"target": {"kind": "Deployment"}, "patch": json.dumps(steps)}


class SearchService(TrialService):
    """The search service, in a namespace of its own name, with the scaling of `qa`: two pods and more."""

    def describe(self, environment: str = "qa", **settings: str) -> None:
        """Writes the overlay, with these settings for the version that is released next."""
        assert environment == "qa"
        write_overlay(self._folder, settings, namespace=self.name, host=f"{self.name}.local")

    @property
    def request(self) -> bytes:
        """What its clients ask."""
        return request_bytes(FLIGHTS, host=f"{self.name}.local")
