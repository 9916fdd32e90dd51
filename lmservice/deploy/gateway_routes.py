"""Routes of the Gateway API that send their traffic to a service, and the weights that share it with a canary.

While a canary is on its way, each backend of a route that names the service stands there twice: the stable pods' own
Service and the canary's, with the weight that it had, times 99 to 1 or whatever the share is. The sum tells what it was
before, so that nothing has to be remembered: a route is made whole again from itself, also by the run that comes after
one that was killed.

Fields: https://gateway-api.sigs.k8s.io/reference/spec/#backendref
"""

import copy
from collections.abc import Collection, Iterator
from typing import TypeAlias

from lmservice.deploy.errors import ReleaseFailedError
from lmservice.deploy.objects import CANARY, MADE_BY, MANAGER, STABLE, TRACK, Object
from lmservice.deploy.overlay import Manifests
from lmservice.deploy.plan import WHOLE

Refs: TypeAlias = list[Object]

_GROUP = "gateway.networking.k8s.io/"
_KINDS = {"HTTPRoute", "GRPCRoute"}
_WEIGHT_MAX = 1_000_000
_SERVICE_FIELDS = ("sessionAffinity", "sessionAffinityConfig", "ipFamilies", "ipFamilyPolicy", "trafficDistribution")


def routes(manifests: Manifests) -> list[Object]:
    """Return those in the service's own namespace that send to one of its Services."""
    names = {service["metadata"]["name"] for service in _services(manifests)}
    return [route for route in _routes(manifests) if names & {ref["name"] for ref in _refs(route)}]


def backends(manifests: Manifests) -> list[Object]:
    """Return the service's own Services that one of these routes names."""
    named = {ref["name"] for route in _routes(manifests) for ref in _refs(route)}
    return [service for service in _services(manifests) if service["metadata"]["name"] in named]


def tracked(manifests: Manifests) -> Manifests:
    """Label the stable pods where routes name them, so that their own Service finds them alone."""
    if not backends(manifests):
        return manifests
    made = Manifests(manifests.service, copy.deepcopy(list(manifests.objects)))
    made.deployment["spec"]["template"]["metadata"].setdefault("labels", {})[TRACK] = STABLE
    return made


def backend(service: Object, track: str) -> Object:
    """Return the Service that finds one version's pods alone; what a cloud would give it from outside is left out."""
    spec = service["spec"]
    ports = [{name: value for name, value in port.items() if name != "nodePort"} for port in spec["ports"]]
    headless = {"clusterIP": "None"} if spec.get("clusterIP") == "None" else {}
    kept = {name: spec[name] for name in _SERVICE_FIELDS if name in spec}
    metadata = {
        "name": backend_name(service["metadata"]["name"], track),
        "namespace": service["metadata"]["namespace"],
        "labels": {TRACK: track},
        "annotations": {MADE_BY: MANAGER},
    }
    selector = {**spec["selector"], TRACK: track}
    made = {**kept, **headless, "ports": ports, "selector": selector}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": made}


def backend_name(service: str, track: str) -> str:
    """Return the name of the Service of one version's pods."""
    return f"{service}-{track}"


def with_canary(route: Object, services: Collection[str], percent: int) -> Object:
    """Return the route with so many per cent of what it sends to these Services for the canary, whatever it had.

    Raises:
        ReleaseFailedError: a weight is so large that no share of it can be told apart.
    """
    made = without_canary(route, services)
    for rule in _rules(made):
        if any(ref["name"] in services for ref in _own(made, rule)):
            ours = _own(made, rule)
            parts = [_parts(ref, percent, split=ref in ours and ref["name"] in services) for ref in rule["backendRefs"]]
            rule["backendRefs"] = [part for pair in parts for part in pair]
            if any(ref["weight"] > _WEIGHT_MAX for ref in rule["backendRefs"]):
                name, limit = route["metadata"]["name"], _WEIGHT_MAX // WHOLE
                raise ReleaseFailedError(f"the {route['kind']} {name} has a weight above {limit}: give smaller ones")
    return made


def without_canary(route: Object, services: Collection[str]) -> Object:
    """Return the route as it was before a canary had a share of it."""
    made = copy.deepcopy(route)
    origins = {backend_name(service, track): service for service in services for track in (STABLE, CANARY)}
    for rule in _rules(made):
        if any(ref["name"] in origins for ref in _own(made, rule)):
            rule["backendRefs"] = _merged(rule["backendRefs"], _own(made, rule), origins)
    return made


def refusals(route: Object) -> dict[str, str]:
    """Return what the gateways' controllers say against the route as it is now, by gateway and condition."""
    refused = {}
    for parent in route.get("status", {}).get("parents", []):
        for condition in parent.get("conditions", []):
            current = condition.get("observedGeneration", 0) >= route["metadata"].get("generation", 0)
            if current and condition["type"] in {"Accepted", "ResolvedRefs"} and condition["status"] == "False":
                refused[f"{parent['parentRef']['name']} {condition['type']}"] = str(
                    condition.get("message") or condition.get("reason")
                )
    return refused


def _parts(ref: Object, percent: int, *, split: bool) -> Refs:
    weight = ref.get("weight", 1)
    if not split:
        return [{**ref, "weight": weight * WHOLE}]
    # the canary's Service is not named before it has a share, as controllers differ in what they make of weight 0
    shares = [(track, share) for track, share in ((STABLE, WHOLE - percent), (CANARY, percent)) if share]
    return [{**ref, "name": backend_name(ref["name"], track), "weight": weight * share} for track, share in shares]


def _merged(refs: Refs, ours: Refs, origins: dict[str, str]) -> Refs:
    """Put each backend's two parts together; the canary's always comes right after the stable one's."""
    made: Refs = []
    for ref in refs:
        origin = origins.get(ref["name"]) if ref in ours else None
        if origin and ref["name"] == backend_name(origin, CANARY) and made:
            made[-1]["weight"] += ref["weight"]
        else:
            made.append({**ref, "name": origin or ref["name"], "weight": ref.get("weight", 1)})
    return [{**ref, "weight": -(-ref["weight"] // WHOLE)} for ref in made]


def _services(manifests: Manifests) -> list[Object]:
    labels = manifests.deployment["spec"]["template"]["metadata"].get("labels", {})
    services = [
        service for service in manifests.objects if (service["apiVersion"], service["kind"]) == ("v1", "Service")
    ]
    return [service for service in services if (service["spec"].get("selector") or {"": ""}).items() <= labels.items()]


def _routes(manifests: Manifests) -> Iterator[Object]:
    for item in manifests.objects:
        here = item["metadata"].get("namespace", "") == manifests.namespace
        if here and item["kind"] in _KINDS and item["apiVersion"].startswith(_GROUP):
            yield item


def _rules(route: Object) -> list[Object]:
    rules: list[Object] = route["spec"].get("rules") or []
    return rules


def _refs(route: Object) -> Iterator[Object]:
    for rule in _rules(route):
        yield from _own(route, rule)


def _own(route: Object, rule: Object) -> Refs:
    """Return the rule's backends that are Services of the route's own namespace."""
    here = route["metadata"].get("namespace")
    refs: Refs = rule.get("backendRefs") or []
    return [ref for ref in refs if _kind(ref) == "Service" and ref.get("namespace", here) == here]


def _kind(ref: Object) -> str:
    return f"{ref.get('group') or ''}/{ref.get('kind') or 'Service'}".removeprefix("/")
