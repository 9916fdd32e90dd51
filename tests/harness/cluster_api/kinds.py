"""The kinds that the fake API server knows, and how it tells of them."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Resource:
    """One kind of one API group; `versions` has the one that is stored first."""

    group: str
    versions: tuple[str, ...]
    plural: str
    kind: str
    namespaced: bool = True
    has_status: bool = False
    has_generation: bool = False

    @property
    def api_version(self) -> str:
        """Return the stored version, as an object names it."""
        return f"{self.group}/{self.versions[0]}" if self.group else self.versions[0]

    def described(self) -> dict[str, Any]:
        """Return its entry of an APIResourceList."""
        verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
        singular = self.kind.lower()
        return {
            "name": self.plural,
            "singularName": singular,
            "namespaced": self.namespaced,
            "kind": self.kind,
            "verbs": verbs,
        }


def _of(group: str, version: str, *kinds: tuple[str, str, str]) -> list[Resource]:
    """Make resources of plural, kind, and letters: c for cluster-scoped, s for a status, g for a generation."""
    return [
        Resource(group, tuple(version.split()), plural, kind, "c" not in letters, "s" in letters, "g" in letters)
        for plural, kind, letters in kinds
    ]


RESOURCES: tuple[Resource, ...] = (
    *_of(
        "",
        "v1",
        ("namespaces", "Namespace", "cs"),
        ("pods", "Pod", "s"),
        ("services", "Service", "s"),
        ("configmaps", "ConfigMap", ""),
        ("secrets", "Secret", ""),
        ("serviceaccounts", "ServiceAccount", ""),
        ("persistentvolumeclaims", "PersistentVolumeClaim", "s"),
        ("persistentvolumes", "PersistentVolume", "cs"),
        ("events", "Event", ""),
    ),
    *_of("apps", "v1", ("deployments", "Deployment", "sg"), ("replicasets", "ReplicaSet", "sg")),
    *_of("coordination.k8s.io", "v1", ("leases", "Lease", "")),
    *_of(
        "networking.k8s.io",
        "v1",
        ("ingresses", "Ingress", "sg"),
        ("networkpolicies", "NetworkPolicy", "g"),
        ("ingressclasses", "IngressClass", "cg"),
    ),
    *_of("autoscaling", "v2 v1", ("horizontalpodautoscalers", "HorizontalPodAutoscaler", "s")),
    *_of("policy", "v1", ("poddisruptionbudgets", "PodDisruptionBudget", "sg")),
    *_of(
        "rbac.authorization.k8s.io",
        "v1",
        ("roles", "Role", ""),
        ("rolebindings", "RoleBinding", ""),
        ("clusterroles", "ClusterRole", "c"),
        ("clusterrolebindings", "ClusterRoleBinding", "c"),
    ),
    *_of("scheduling.k8s.io", "v1", ("priorityclasses", "PriorityClass", "cg")),
    *_of("discovery.k8s.io", "v1", ("endpointslices", "EndpointSlice", "g")),
    *_of("gateway.networking.k8s.io", "v1", ("httproutes", "HTTPRoute", "sg"), ("grpcroutes", "GRPCRoute", "sg")),
    *_of("apiextensions.k8s.io", "v1", ("customresourcedefinitions", "CustomResourceDefinition", "csg")),
    *_of(
        "monitoring.coreos.com", "v1", ("podmonitors", "PodMonitor", "sg"), ("prometheusrules", "PrometheusRule", "g")
    ),
)


def resource(group: str, version: str, plural: str) -> Resource | None:
    """Return the resource that a path names; None where the server has no such kind at that version."""
    return next((r for r in RESOURCES if (r.group, r.plural) == (group, plural) and version in r.versions), None)


def resource_of(item: dict[str, Any]) -> Resource:
    """Return the resource of an object."""
    group, _, version = item["apiVersion"].rpartition("/")
    return next(r for r in RESOURCES if (r.group, r.kind) == (group, item["kind"]) and version in r.versions)


def discovered(path: str) -> dict[str, Any] | None:
    """Return the discovery document at `/api`, `/apis`, `/api/v1` or `/apis/GROUP/VERSION`, or None."""
    groups = sorted({r.group for r in RESOURCES if r.group})
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(group) for group in groups]}
    if path == "/version":
        return {"major": "1", "minor": "36", "gitVersion": "v1.36.0-fake"}
    prefix, _, version = path.strip("/").rpartition("/")
    group = prefix.removeprefix("apis").removeprefix("api").strip("/")
    known = [r for r in RESOURCES if r.group == group and version in r.versions]
    if not known or prefix.partition("/")[0] != ("apis" if group else "api"):
        return None
    group_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "groupVersion": group_version, "resources": [r.described() for r in known]}


def _group(name: str) -> dict[str, Any]:
    versions = list(dict.fromkeys(version for r in RESOURCES if r.group == name for version in r.versions))
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}
