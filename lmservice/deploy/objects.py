"""Kubernetes objects as plain data: what names one, what tells two versions apart, what tells lmservice's own.

What lmservice makes bears its mark, and only what bears it is ever deleted. An object that was there before lmservice
came, or that somebody deleted and made anew, bears none, whatever it is called.
"""

import re
from typing import Any, TypeAlias

from lmservice.deploy.errors import DeployUsageError

Object: TypeAlias = dict[str, Any]
"""One Kubernetes object, as its YAML or JSON has it."""

TRACK = "lmservice.dev/track"
"""The label that tells a canary's pods, and what is made for them, from the stable version's."""
CANARY, STABLE = "canary", "stable"
MANAGER = "lmservice-deploy"
"""The field manager of everything that a release applies."""
MADE_BY = "lmservice.dev/made-by"
"""The annotation of what lmservice has made; its value is the field manager's name."""
GENERATED = re.compile(r"-[2456789bcdfghkmt]{10}$")
"""The hash that kustomize puts behind the name of an object that it generates."""


def reference(version: str, kind: str, namespace: str, name: str = "") -> Object:
    """Return what names an object, and no more; without a name, all of its kind in the namespace."""
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}}


def key(item: Object) -> str:
    """Return what an object is known by: its API group, kind, namespace and name. The version may change."""
    group = item["apiVersion"].rpartition("/")[0]
    metadata = item["metadata"]
    return f"{group}/{item['kind']}/{metadata.get('namespace', '')}/{metadata['name']}"


def plain_name(item: Object) -> str:
    """Return its name as the overlay's author knows it: without the hash that kustomize has put behind it."""
    name = str(item["metadata"]["name"])
    return GENERATED.sub("", name) if item["kind"] in {"ConfigMap", "Secret"} else name


def title(item: Object) -> str:
    """Return what a person calls it: `ConfigMap shop`."""
    return f"{item['kind']} {plain_name(item)}"


def is_marked(live: Object) -> bool:
    """Return whether lmservice has made this object of the cluster."""
    return bool(live["metadata"].get("annotations", {}).get(MADE_BY) == MANAGER)


def is_for_canary(live: Object) -> bool:
    """Return whether lmservice has made it for a canary; before there was a mark, a label and the manager told."""
    managers = {entry.get("manager") for entry in live["metadata"].get("managedFields", [])}
    return is_marked(live) or (TRACK in live["metadata"].get("labels", {}) and MANAGER in managers)


def canary_name(service: str) -> str:
    """Return the name of the canary's Deployment."""
    return f"{service}-{CANARY}"


def selector(deployment: Object) -> str:
    """Return its pods' labels, as the API takes them."""
    wanted = deployment["spec"]["selector"]
    parts = [f"{name}={value}" for name, value in wanted.get("matchLabels", {}).items()]
    return ",".join([*parts, *(_requirement(expression) for expression in wanted.get("matchExpressions", []))])


def _requirement(expression: Object) -> str:
    """Return one of its expressions, as the API takes it."""
    name, values = expression["key"], ",".join(expression.get("values") or [])
    spelt = {"In": f"{name} in ({values})", "NotIn": f"{name} notin ({values})", "Exists": name}
    return str(spelt.get(expression["operator"], f"!{name}"))


def container(deployment: Object) -> Object:
    """Return the service's own container: of its name, or the only one."""
    name = deployment["metadata"]["name"]
    containers: list[Object] = deployment["spec"]["template"]["spec"]["containers"]
    own = [container for container in containers if container["name"] in {name, name.removesuffix(f"-{CANARY}")}]
    if not own and len(containers) == 1:
        own = containers
    if not own:
        raise DeployUsageError(f"none of the Deployment's {len(containers)} containers bears its name {name!r}")
    return own[0]
