"""What Services and gateways make of the objects that are there."""

from collections.abc import Iterable

from cluster_api.owners import Object
from cluster_api.pods import is_ready


def endpoint_slice(service: Object, pods: Iterable[Object], owner: Object) -> Object | None:
    """Return the Service's pods in one EndpointSlice; None where it selects none."""
    wanted, namespace = service["spec"].get("selector"), service["metadata"]["namespace"]
    if not wanted:
        return None
    endpoints = [
        {
            "addresses": ["10.0.0.2"],
            "conditions": {"ready": is_ready(pod) and "deletionTimestamp" not in pod["metadata"]},
            "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"], "namespace": namespace},
        }
        for pod in pods
        if wanted.items() <= pod["metadata"].get("labels", {}).items()
    ]
    metadata = {
        "name": f"{service['metadata']['name']}-fake",
        "namespace": namespace,
        "labels": {"kubernetes.io/service-name": service["metadata"]["name"]},
        "ownerReferences": [owner],
    }
    made = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4"}
    return {**made, "metadata": metadata, "endpoints": endpoints}


def route_status(route: Object, refusal: str) -> Object:
    """Return what gateways say of a route; a refusal is of routes with more than one backend."""
    split = any(len(rule.get("backendRefs", [])) > 1 for rule in route["spec"].get("rules", []))
    problem = refusal if split else ""
    resolved = {
        "type": "ResolvedRefs",
        "status": str(not problem),
        "reason": "BackendNotFound" if problem else "ResolvedRefs",
        "message": problem,
        "observedGeneration": route["metadata"]["generation"],
    }
    return {
        "parents": [{"parentRef": parent, "conditions": [resolved]} for parent in route["spec"].get("parentRefs", [])]
    }
