"""The rules for traffic: requests find the service, only the kubelet and the monitoring its management listener."""

from collections.abc import Iterator, Mapping
from typing import Any

from lmservice.manifests.finding import Finding
from lmservice.manifests.objects import Object, Path, dig, format_labels, mapping, selects, sequence
from lmservice.manifests.workload import Workload, labels, running_pods

_EVERYWHERE = ("0.0.0.0/0", "::/0")
_INSIDE = "management is for the kubelet and the monitoring alone"


def judge(workload: Workload) -> Iterator[Finding]:
    """Judge the container's ports, and the Services, Ingresses, routes and NetworkPolicies that lead to them."""
    yield from _ports(workload)
    for service in workload.others("Service"):
        if service.value("spec", "selector") and workload.selected_by(
            {"matchLabels": service.mapping("spec", "selector")}
        ):
            yield from _service(workload, service)
    for ingress in workload.others("Ingress"):
        yield from _ingress(workload, ingress)
    for route in workload.others("HTTPRoute"):
        yield from _route(workload, route)
    yield from _policies(workload)
    yield from _job_pods(workload)


def _ports(workload: Workload) -> Iterator[Finding]:
    settings = workload.settings
    listed = [entry for _, entry in workload.object.entries(*workload.container, "ports")]
    numbers = [entry.get("containerPort") for entry in listed]
    if workload.object.value(*workload.pod, "hostNetwork") is True and workload.object.kind != "DaemonSet":
        expected = "its ports would be the node's: no new pod could start beside an old one"
        yield workload.object.finding((*workload.pod, "hostNetwork"), "true", expected, "remove it")
    if workload.takes_requests and settings.port == settings.management_port:
        fix = "set one of them to another port"
        yield workload.finding(("env",), f"LM_PORT {settings.port}", "LM_MANAGEMENT_PORT is the same", fix)
    if workload.takes_requests and numbers and settings.port not in numbers:
        ports = ", ".join(map(str, numbers))
        yield workload.finding(("ports",), ports, f"LM_PORT is {settings.port}", f"list containerPort: {settings.port}")
    for index, entry in enumerate(listed):
        name, port = entry.get("name"), entry.get("containerPort")
        if name in ("management", "metrics") and port != settings.management_port:
            expected = f"LM_MANAGEMENT_PORT is {settings.management_port}"
            fix = f"set it to {settings.management_port}"
            yield workload.finding(("ports", index, "containerPort"), port, expected, fix)
        if "hostPort" in entry:
            expected, fix = "a new pod cannot start beside an old one", "remove hostPort: a Service leads to the pods"
            yield workload.finding(("ports", index, "hostPort"), entry["hostPort"], expected, fix)
    yield from _listed_twice(workload, [entry.get("name") for entry in listed], "name")
    yield from _listed_twice(
        workload, [f"{entry.get('containerPort')}/{entry.get('protocol', 'TCP')}" for entry in listed], "containerPort"
    )


def _listed_twice(workload: Workload, values: list[Any], what: str) -> Iterator[Finding]:
    for value in dict.fromkeys(listed for listed in values if listed is not None and values.count(listed) > 1):
        doubled = f"{what} {value} twice"
        yield workload.finding(("ports",), doubled, "each port is listed once", "remove one of the two")


def _service(workload: Workload, service: Object) -> Iterator[Finding]:
    settings = workload.settings
    for path, port in service.entries("spec", "ports"):
        field = "targetPort" if "targetPort" in port else "port"
        target, number = port.get(field), workload.port(port.get(field))
        listed = [entry.get("containerPort") for _, entry in workload.object.entries(*workload.container, "ports")]
        if str(target) in workload.beside and number != settings.management_port:
            continue
        if number == settings.management_port or port.get("port") == settings.management_port:
            if _is_for_monitoring(workload, service):
                continue
            fix = f"remove it from the Service: {_INSIDE}"
            yield service.finding((*path, field), target, f"LM_MANAGEMENT_PORT is {settings.management_port}", fix)
        elif not workload.takes_requests and (number is None or number not in listed or number == settings.port):
            fix = "remove it: a service without routes= and app= opens no port"
            yield service.finding((*path, field), target, "the service takes no requests", fix)
        elif number is None:
            names = ", ".join(workload.ports) or "none"
            fix = f"name the port of LM_PORT, {settings.port}"
            yield service.finding((*path, field), target, f"the container's ports have the names {names}", fix)
        elif number != settings.port and number not in listed:
            yield service.finding((*path, field), target, f"LM_PORT is {settings.port}", f"set it to {settings.port}")
    governs = workload.object.value("spec", "serviceName") == service.name  # a StatefulSet's, by which its pods meet
    if service.value("spec", "publishNotReadyAddresses") is True and not governs:
        path = ("spec", "publishNotReadyAddresses")
        yield service.finding(path, "true", "requests would come to pods that start or drain", "remove it")


def _is_for_monitoring(workload: Workload, service: Object) -> bool:
    """Return whether a Service leads to management alone, and a ServiceMonitor asks it."""
    ports = {workload.port(port.get("targetPort", port.get("port"))) for _, port in service.entries("spec", "ports")}
    monitors = workload.others("ServiceMonitor")
    labels = service.mapping("metadata", "labels")
    asked = any(selects(monitor.value("spec", "selector"), labels) for monitor in monitors)
    return asked and ports == {workload.settings.management_port}


def _job_pods(workload: Workload) -> Iterator[Finding]:
    """Find pods of jobs that a Service takes for the service's."""
    jobs = [maker for maker in running_pods(workload.objects) if maker.kind in ("Job", "CronJob")]
    for service in workload.others("Service"):
        selector = {"matchLabels": service.mapping("spec", "selector")}
        by_number = any(isinstance(port.get("targetPort", 0), int) for _, port in service.entries("spec", "ports"))
        for job in jobs if service.mapping("spec", "selector") and by_number else ():
            if job.beside(service) and workload.selected_by(selector) and selects(selector, labels(job)):
                expected = f"the pods of {job} have these labels as well, and would be sent requests"
                fix = "give them other labels"
                yield service.finding(
                    ("spec", "selector"), format_labels(service.mapping("spec", "selector")), expected, fix
                )


def _route(workload: Workload, route: Object) -> Iterator[Finding]:
    """Judge what a route of the Gateway API leads to."""
    services = {service.name: service for service in workload.others("Service")}
    for rule, _ in route.entries("spec", "rules"):
        for path, backend in route.entries(*rule, "backendRefs"):
            name, port = backend.get("name"), backend.get("port")
            if backend.get("kind", "Service") != "Service" or backend.get("namespace"):
                continue
            if port == workload.settings.management_port:
                fix = f"lead it to the service's port: {_INSIDE}"
                yield route.finding((*path, "port"), port, f"LM_MANAGEMENT_PORT is {port}", fix)
            elif name in services:
                yield from _backend_port(route, path, {"number": port}, services[name], field="port")


def _backends(ingress: Object) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    default: Path = ("spec", "defaultBackend", "service")
    if ingress.mapping(*default):
        yield default, ingress.mapping(*default)
    for rule, _ in ingress.entries("spec", "rules"):
        for path, _ in ingress.entries(*rule, "http", "paths"):
            where = (*path, "backend", "service")
            yield where, ingress.mapping(*where)


def _ingress(workload: Workload, ingress: Object) -> Iterator[Finding]:
    services = {service.name: service for service in workload.others("Service")}
    backends = list(_backends(ingress))
    for path, backend in backends:
        name, port = backend.get("name"), mapping(backend.get("port"))
        if port.get("number") == workload.settings.management_port:
            number, fix = port.get("number"), f"lead it to the service's port: {_INSIDE}"
            expected = f"LM_MANAGEMENT_PORT is {workload.settings.management_port}"
            yield ingress.finding((*path, "port", "number"), number, expected, fix)
        elif name not in services and not any(other.get("name") in services for _, other in backends):
            known = ", ".join(services) or "none"
            yield ingress.finding((*path, "name"), name, f"the Services here are {known}", "name one of them")
        elif name in services:
            yield from _backend_port(ingress, (*path, "port"), port, services[name])


def _backend_port(
    ingress: Object, path: Path, port: Mapping[str, Any], service: Object, field: str = ""
) -> Iterator[Finding]:
    ports = [entry for _, entry in service.entries("spec", "ports")]
    by, key = ("name", "name") if "name" in port else ("number", "port")
    known = [entry.get(key) for entry in ports]
    if port.get(by) not in known:
        has = ", ".join(map(str, known)) or "none"
        yield ingress.finding((*path, field or by), port.get(by), f"{service} has {has}", "name a port that it has")


def _policies(workload: Workload) -> Iterator[Finding]:
    selecting = [
        policy for policy in workload.others("NetworkPolicy")
        if workload.selected_by(policy.value("spec", "podSelector"))
        and "Ingress" in (sequence(policy.value("spec", "policyTypes")) or ["Ingress"])
    ]  # fmt: skip
    rules = [(policy, path, rule) for policy in selecting for path, rule in policy.entries("spec", "ingress")]
    settings = workload.settings
    for policy, path, rule in rules:
        if _admits(workload, rule, settings.management_port) and _is_open(rule):
            fix = f"say in from: who may; {_INSIDE}"
            sources = "anybody" if not rule.get("from") else "the whole cluster"
            expected = f"LM_MANAGEMENT_PORT {settings.management_port} is among the ports"
            yield policy.finding((*path, "from"), sources, expected, fix)
    if (
        workload.takes_requests
        and selecting
        and not any(_admits(workload, rule, settings.port) for _, _, rule in rules)
    ):
        fix = f"add a rule for port {settings.port}"
        yield selecting[0].finding(
            ("spec", "ingress"), "without it", f"LM_PORT is {settings.port}: nobody gets in", fix
        )
    if selecting and not any(_admits(workload, rule, settings.management_port) for _, _, rule in rules):
        for monitor in workload.others("PodMonitor"):
            if workload.selected_by(monitor.value("spec", "selector")):
                expected = f"{monitor} scrapes LM_MANAGEMENT_PORT {settings.management_port}: it does not get in"
                fix = f"add a rule for port {settings.management_port}, from where the monitoring is"
                yield selecting[0].finding(("spec", "ingress"), "without a rule for it", expected, fix)


def _admits(workload: Workload, rule: Mapping[str, Any], port: int) -> bool:
    ports = [mapping(entry) for entry in sequence(rule.get("ports"))]
    return not ports or any(_covers(workload, entry, port) for entry in ports)


def _covers(workload: Workload, entry: Mapping[str, Any], port: int) -> bool:
    first, last = workload.port(entry.get("port")), entry.get("endPort")
    if entry.get("protocol", "TCP") != "TCP":
        return False
    ranged = isinstance(first, int) and isinstance(last, int) and first <= port <= last
    return "port" not in entry or first == port or ranged


def _is_open(rule: Mapping[str, Any]) -> bool:
    peers = [mapping(peer) for peer in sequence(rule.get("from"))]
    return not peers or any(
        dig(peer, "ipBlock", "cidr") in _EVERYWHERE
        or (peer.get("namespaceSelector") == {} and not peer.get("podSelector"))
        for peer in peers
    )
