"""What the API server adds to an object that does not say it, and what it refuses."""

import base64
from collections.abc import Callable
from typing import Any

from cluster_api.kinds import Resource


def defaulted(resource: Resource, item: dict[str, Any]) -> None:
    """Add the defaults of its kind."""
    if resource.plural in _DEFAULTS:
        _DEFAULTS[resource.plural](item)


def problem(item: dict[str, Any], live: dict[str, Any] | None) -> str:
    """Return why the API server refuses the object; empty where it takes it."""
    name = str(item["metadata"]["name"])
    if not name.replace("-", "").replace(".", "").replace(":", "").isalnum() or name != name.lower():
        return (
            f'metadata.name: Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case letters'
        )
    if item["kind"] not in {"Deployment", "ReplicaSet"}:
        return ""
    spec = item["spec"]
    if live and spec["selector"] != live["spec"]["selector"]:
        return "spec.selector: Invalid value: field is immutable"
    labels = spec["template"].get("metadata", {}).get("labels", {})
    if not spec["selector"].get("matchLabels", {}).items() <= labels.items():
        return "spec.template.metadata.labels: Invalid value: `selector` does not match template `labels`"
    if not spec["template"]["spec"].get("containers"):
        return "spec.template.spec.containers: Required value"
    return ""


def _workload(item: dict[str, Any]) -> None:
    spec = item["spec"]
    spec.setdefault("replicas", 1)
    if item["kind"] == "Deployment":
        spec.setdefault("revisionHistoryLimit", 10)
        spec.setdefault("progressDeadlineSeconds", 600)
        strategy = spec.setdefault("strategy", {})
        if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("maxSurge", "25%")
            rolling.setdefault("maxUnavailable", "25%")
    _pod_spec(spec["template"].setdefault("spec", {}))


def _pod_spec(spec: dict[str, Any]) -> None:
    more = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    }
    for name, value in more.items():
        spec.setdefault(name, value)
    for container in [*spec.get("initContainers", []), *spec.get("containers", [])]:
        latest = container.get("image", "").endswith(":latest") or ":" not in container.get("image", "")
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
        container.setdefault("resources", {})
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        for port in container.get("ports", []):
            port.setdefault("protocol", "TCP")


def _service(item: dict[str, Any]) -> None:
    spec = item.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("clusterIP", "10.0.0.1")
    for port in spec.get("ports", []):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port["port"])


def _secret(item: dict[str, Any]) -> None:
    item.setdefault("type", "Opaque")
    texts = item.pop("stringData", {})
    if texts:
        encoded = {name: base64.b64encode(value.encode()).decode() for name, value in texts.items()}
        item["data"] = {**item.get("data", {}), **encoded}


def _namespace(item: dict[str, Any]) -> None:
    item.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    item.setdefault("status", {"phase": "Active"})
    labels = item["metadata"].setdefault("labels", {})
    labels.setdefault("kubernetes.io/metadata.name", item["metadata"]["name"])


_DEFAULTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "deployments": _workload,
    "replicasets": _workload,
    "pods": lambda item: _pod_spec(item["spec"]),
    "services": _service,
    "secrets": _secret,
    "namespaces": _namespace,
}
