"""Whether requests find the service, and nobody but the kubelet and the monitoring finds its management listener."""

from collections.abc import Iterator, Mapping
from typing import Any

from lmservice.manifests.finding import Finding
from lmservice.manifests.objects import Object, Path, dig, mapping, sequence
from lmservice.manifests.workload import Workload

_EVERYWHERE = ("0.0.0.0/0", "::/0")
_INSIDE = "management is for the kubelet and the monitoring alone"


def judge(workload: Workload) -> Iterator[Finding]:
    """The container's ports, and the Services, Ingresses, NetworkPolicies and monitors that lead to them."""
    yield from _ports(workload)
    for service in workload.others("Service"):
        if service.value("spec", "selector") and workload.selected_by(
            {"matchLabels": service.mapping("spec", "selector")}
        ):
            yield from _service(workload, service)
    for ingress in workload.others("Ingress"):
        yield from _ingress(workload, ingress)
    yield from _policies(workload)
    for monitor in workload.others("PodMonitor"):
        if workload.selected_by(monitor.value("spec", "selector")):
            yield from _monitor(workload, monitor)


def _ports(workload: Workload) -> Iterator[Finding]:
    settings = workload.settings
    listed = [entry for _, entry in workload.object.entries(*workload.container, "ports")]
    numbers = [entry.get("containerPort") for entry in listed]
    if settings.port == settings.management_port:
        fix = "set one of them to another port"
        yield workload.finding(("env",), f"LM_PORT {settings.port}", "LM_MANAGEMENT_PORT is the same", fix)
    if numbers and settings.port not in numbers:
        found = ", ".join(map(str, numbers))
        yield workload.finding(("ports",), found, f"LM_PORT is {settings.port}", f"list containerPort: {settings.port}")
    for index, entry in enumerate(listed):
        name, port = entry.get("name"), entry.get("containerPort")
        if name in ("management", "metrics") and port != settings.management_port:
            expected = f"LM_MANAGEMENT_PORT is {settings.management_port}"
            fix = f"set it to {settings.management_port}"
            yield workload.finding(("ports", index, "containerPort"), port, expected, fix)
        if "hostPort" in entry:
            fix = "remove hostPort: a Service leads to the pods"
            found = entry["hostPort"]
            yield workload.finding(("ports", index, "hostPort"), found, "a new pod cannot start beside an old one", fix)
    yield from _listed_twice(workload, [entry.get("name") for entry in listed], "name")
    yield from _listed_twice(
        workload, [f"{entry.get('containerPort')}/{entry.get('protocol', 'TCP')}" for entry in listed], "containerPort"
    )


def _listed_twice(workload: Workload, values: list[Any], what: str) -> Iterator[Finding]:
    for value in dict.fromkeys(each for each in values if each is not None and values.count(each) > 1):
        found = f"{what} {value} twice"
        yield workload.finding(("ports",), found, "each port is listed once", "remove one of the two")


def _service(workload: Workload, service: Object) -> Iterator[Finding]:
    settings = workload.settings
    for path, port in service.entries("spec", "ports"):
        field = "targetPort" if "targetPort" in port else "port"
        target, number = port.get(field), workload.port(port.get(field))
        listed = [entry.get("containerPort") for _, entry in workload.object.entries(*workload.container, "ports")]
        if number == settings.management_port or port.get("port") == settings.management_port:
            fix = f"remove it from the Service: {_INSIDE}"
            yield service.finding((*path, field), target, f"LM_MANAGEMENT_PORT is {settings.management_port}", fix)
        elif number is None:
            names = ", ".join(workload.ports) or "none"
            fix = f"name the port of LM_PORT, {settings.port}"
            yield service.finding((*path, field), target, f"the container's ports have the names {names}", fix)
        elif number != settings.port and number not in listed:
            yield service.finding((*path, field), target, f"LM_PORT is {settings.port}", f"set it to {settings.port}")
    if service.value("spec", "publishNotReadyAddresses") is True:
        path = ("spec", "publishNotReadyAddresses")
        yield service.finding(path, "true", "requests would come to pods that start or drain", "remove it")


def _backends(ingress: Object) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    default: Path = ("spec", "defaultBackend", "service")
    if ingress.mapping(*default):
        yield default, ingress.mapping(*default)
    for rule, _ in ingress.entries("spec", "rules"):
        for path, _ in ingress.entries(*rule, "http", "paths"):
            where = (*path, "backend", "service")
            yield where, ingress.mapping(*where)


def _ingress(workload: Workload, ingress: Object) -> Iterator[Finding]:
    services = {each.name: each for each in workload.others("Service")}
    backends = list(_backends(ingress))
    for path, backend in backends:
        name, port = backend.get("name"), mapping(backend.get("port"))
        if port.get("number") == workload.settings.management_port:
            found, fix = port.get("number"), f"lead it to the service's port: {_INSIDE}"
            expected = f"LM_MANAGEMENT_PORT is {workload.settings.management_port}"
            yield ingress.finding((*path, "port", "number"), found, expected, fix)
        elif name not in services and not any(each.get("name") in services for _, each in backends):
            known = ", ".join(services) or "none"
            yield ingress.finding((*path, "name"), name, f"the Services here are {known}", "name one of them")
        elif name in services:
            yield from _backend_port(ingress, (*path, "port"), port, services[name])


def _backend_port(ingress: Object, path: Path, port: Mapping[str, Any], service: Object) -> Iterator[Finding]:
    ports = [entry for _, entry in service.entries("spec", "ports")]
    field, key = ("name", "name") if "name" in port else ("number", "port")
    known = [entry.get(key) for entry in ports]
    if port.get(field) not in known:
        has = ", ".join(map(str, known)) or "none"
        yield ingress.finding((*path, field), port.get(field), f"{service} has {has}", "name a port that it has")


def _policies(workload: Workload) -> Iterator[Finding]:
    selecting = [
        each for each in workload.others("NetworkPolicy")
        if workload.selected_by(each.value("spec", "podSelector"))
        and "Ingress" in (sequence(each.value("spec", "policyTypes")) or ["Ingress"])
    ]  # fmt: skip
    rules = [(each, path, rule) for each in selecting for path, rule in each.entries("spec", "ingress")]
    settings = workload.settings
    for policy, path, rule in rules:
        if _admits(workload, rule, settings.management_port) and _is_open(rule):
            fix = f"say in from: who may; {_INSIDE}"
            found = "anybody" if not rule.get("from") else "the whole cluster"
            expected = f"LM_MANAGEMENT_PORT {settings.management_port} is among the ports"
            yield policy.finding((*path, "from"), found, expected, fix)
    if selecting and not any(_admits(workload, rule, settings.port) for _, _, rule in rules):
        fix = f"add a rule for port {settings.port}"
        yield selecting[0].finding(
            ("spec", "ingress"), "without it", f"LM_PORT is {settings.port}: nobody gets in", fix
        )


def _admits(workload: Workload, rule: Mapping[str, Any], port: int) -> bool:
    ports = [mapping(each) for each in sequence(rule.get("ports"))]
    return not ports or any(_covers(workload, each, port) for each in ports)


def _covers(workload: Workload, entry: Mapping[str, Any], port: int) -> bool:
    first, last = workload.port(entry.get("port")), entry.get("endPort")
    if entry.get("protocol", "TCP") != "TCP":
        return False
    ranged = isinstance(first, int) and isinstance(last, int) and first <= port <= last
    return "port" not in entry or first == port or ranged


def _is_open(rule: Mapping[str, Any]) -> bool:
    peers = [mapping(each) for each in sequence(rule.get("from"))]
    return not peers or any(
        dig(peer, "ipBlock", "cidr") in _EVERYWHERE
        or (peer.get("namespaceSelector") == {} and not peer.get("podSelector"))
        for peer in peers
    )


def _monitor(workload: Workload, monitor: Object) -> Iterator[Finding]:
    port = workload.settings.management_port
    for path, endpoint in monitor.entries("spec", "podMetricsEndpoints"):
        field = next((name for name in ("port", "portNumber", "targetPort") if name in endpoint), "port")
        if workload.port(endpoint.get(field)) != port:
            names = [name for name, number in workload.ports.items() if number == port]
            fix = f"set it to {names[0]}" if names else f"name the container's port {port}, and give the name here"
            yield monitor.finding((*path, field), endpoint.get(field), f"LM_MANAGEMENT_PORT is {port}", fix)
        asked = endpoint.get("path", "/metrics")
        if asked != "/metrics":
            yield monitor.finding((*path, "path"), asked, "the metrics are at /metrics", "set it to /metrics")
