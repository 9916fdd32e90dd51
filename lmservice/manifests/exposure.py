"""The rules for what is reached from outside: the proxy before it is believed, the drain whole, no pod alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lmservice.manifests.finding import Finding
from lmservice.manifests.objects import Object, Path, sequence
from lmservice.manifests.scaling import least_pods
from lmservice.manifests.workload import Workload
from lmservice.settings.forwarding import UVICORNS_VARIABLE
from lmservice.settings.variables import PREFIX

_DEV = "dev"
_PRACTICE = frozenset(("dev", "development", "test", "testing", "local", "localhost", "sandbox", "lab", "demo"))
"""The words in a host by which people know that nobody depends on it."""


def judge(workload: Workload) -> Iterator[Finding]:
    """Judge the settings, and the number of pods, of a service to which an Ingress or a route leads."""
    entrances = [*_entrances(workload)]
    for entrance in entrances[:1]:
        yield from _proxies(workload, entrance)
    for entrance in entrances:
        yield from _environment(workload, entrance)
    if any(_leads_here(workload, service) for service in workload.others("Service")):
        yield from _alone(workload)


def _entrances(workload: Workload) -> Iterator[Object]:
    """Yield the Ingresses and HTTPRoutes that lead to the service."""
    services = {service.name for service in workload.others("Service") if _leads_here(workload, service)}
    for ingress in workload.others("Ingress"):
        if services & {name for name in _backends(ingress) if name}:
            yield ingress
    for route in workload.others("HTTPRoute"):
        rules = [path for path, _ in route.entries("spec", "rules")]
        backends = [backend for rule in rules for _, backend in route.entries(*rule, "backendRefs")]
        if services & {str(backend.get("name")) for backend in backends}:
            yield route


def _leads_here(workload: Workload, service: Object) -> bool:
    selector = service.mapping("spec", "selector")
    return bool(selector) and workload.selected_by({"matchLabels": selector})


def _backends(ingress: Object) -> Iterator[str]:
    yield str(ingress.value("spec", "defaultBackend", "service", "name") or "")
    for rule, _ in ingress.entries("spec", "rules"):
        for path, _ in ingress.entries(*rule, "http", "paths"):
            yield str(ingress.value(*path, "backend", "service", "name") or "")


def _proxies(workload: Workload, entrance: Object) -> Iterator[Finding]:
    known: Mapping[str, Any] = {**workload.outside, **workload.variables.by_name}
    name = f"{PREFIX}FORWARDED_ALLOW"
    if {name, UVICORNS_VARIABLE} & {key.upper() for key in known} or not workload.variables.complete:
        return
    if all(network.is_loopback for network in workload.settings.forwarded_allow):
        expected = f"{entrance} is a proxy: every request would seem to be http, from the proxy's own address"
        yield workload.finding(("env",), f"without {name}", expected, f"set {name} to the proxies' networks")


def _environment(workload: Workload, entrance: Object) -> Iterator[Finding]:
    """Find the environment `dev`, in which a stop loses requests, behind a host that people depend on."""
    environment = workload.variables.by_name.get(f"{PREFIX}ENVIRONMENT")
    if environment is None or environment.value != _DEV:
        return
    hosts = [host for host in _hosts(entrance) if _PRACTICE.isdisjoint(host.lower().replace("-", ".").split("."))]
    if hosts:
        expected = f"{entrance} leads {hosts[0]} here, and a stop in {_DEV} skips the drain's delay: requests are lost"
        yield environment.object.finding(environment.path, _DEV, expected, "give the environment another name")


def _hosts(entrance: Object) -> Sequence[str]:
    listed = [str(host) for host in sequence(entrance.value("spec", "hostnames"))]
    return listed + [str(rule["host"]) for _, rule in entrance.entries("spec", "rules") if rule.get("host")]


def _alone(workload: Workload) -> Iterator[Finding]:
    if workload.settings.environment == _DEV or workload.object.kind in ("DaemonSet", "Pod", "ReplicaSet"):
        return
    scaled, path, pods = least_pods(workload)
    if pods == 1:
        expected = "while its node is replaced or fails nothing serves: two pods are the least"
        replicas = scaled.value(*path) or "missing, which is 1"
        yield scaled.finding(_written(scaled, path), replicas, expected, "set it to 2")


def _written(scaled: Object, path: Path) -> Path:
    return path if scaled.value(*path) is not None else path[:-1]
