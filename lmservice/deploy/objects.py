"""Kubernetes objects as plain data: what names one, what tells the two versions of a service apart."""

from typing import Any, TypeAlias

from lmservice.deploy.errors import DeployUsageError

Object: TypeAlias = dict[str, Any]
"""One Kubernetes object, as its YAML or JSON has it."""

TRACK = "lmservice.dev/track"
"""The label that tells a canary's pods, and what is made for them, from the stable version's."""
CANARY, STABLE = "canary", "stable"


def reference(version: str, kind: str, namespace: str, name: str = "") -> Object:
    """Return what names an object, and no more; without a name, all of its kind in the namespace."""
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}}


def key(item: Object) -> str:
    """Return what an object is known by: its API group, kind, namespace and name. The version may change."""
    group = item["apiVersion"].rpartition("/")[0]
    metadata = item["metadata"]
    return f"{group}/{item['kind']}/{metadata.get('namespace', '')}/{metadata['name']}"


def canary_name(service: str) -> str:
    """Return the name of the canary's Deployment."""
    return f"{service}-{CANARY}"


def selector(deployment: Object) -> str:
    """Return its pods' labels, as the API takes them."""
    labels = deployment["spec"]["selector"].get("matchLabels", {})
    return ",".join(f"{name}={value}" for name, value in labels.items())


def container(deployment: Object) -> Object:
    """Return the service's own container: of its name, or the only one."""
    name = deployment["metadata"]["name"]
    containers: list[Object] = deployment["spec"]["template"]["spec"]["containers"]
    own = [each for each in containers if each["name"] in {name, name.removesuffix(f"-{CANARY}")}]
    if not own and len(containers) == 1:
        own = containers
    if not own:
        raise DeployUsageError(f"none of the Deployment's {len(containers)} containers bears its name {name!r}")
    return own[0]
