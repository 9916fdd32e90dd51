"""The rules for monitoring: whatever scrapes metrics asks the management listener for them."""

from collections.abc import Iterator, Mapping
from typing import Any

from lmservice.manifests.finding import Finding
from lmservice.manifests.objects import Object, Path, selects
from lmservice.manifests.workload import Workload


def judge(workload: Workload) -> Iterator[Finding]:
    """Judge PodMonitors, ServiceMonitors, and the annotations of the pods."""
    for monitor in workload.others("PodMonitor"):
        if workload.selected_by(monitor.value("spec", "selector")):
            yield from _monitor(workload, monitor)
    for monitor in workload.others("ServiceMonitor"):
        yield from _by_service(workload, monitor)
    yield from _annotations(workload)


def _monitor(workload: Workload, monitor: Object) -> Iterator[Finding]:
    port = workload.settings.management_port
    for path, endpoint in monitor.entries("spec", "podMetricsEndpoints"):
        field = next((name for name in ("port", "portNumber", "targetPort") if name in endpoint), "port")
        if workload.port(endpoint.get(field)) != port:
            names = [name for name, number in workload.ports.items() if number == port]
            fix = f"set it to {names[0]}" if names else f"name the container's port {port}, and give the name here"
            yield monitor.finding((*path, field), endpoint.get(field), f"LM_MANAGEMENT_PORT is {port}", fix)
        yield from _path(monitor, path, endpoint)


def _path(monitor: Object, path: Path, endpoint: Mapping[str, Any]) -> Iterator[Finding]:
    asked = endpoint.get("path", "/metrics")
    if asked != "/metrics":
        yield monitor.finding((*path, "path"), asked, "the metrics are at /metrics", "set it to /metrics")


def _by_service(workload: Workload, monitor: Object) -> Iterator[Finding]:
    """Judge a monitor that asks by the name of a Service's port, which has to lead to management."""
    selector, expected = monitor.value("spec", "selector"), workload.settings.management_port
    for service in workload.others("Service"):
        if not workload.selected_by({"matchLabels": service.mapping("spec", "selector")}) or not selects(
            selector, service.mapping("metadata", "labels")
        ):
            continue
        ports = [port for _, port in service.entries("spec", "ports")]
        numbers = {port.get("name"): workload.port(port.get("targetPort", port.get("port"))) for port in ports}
        for path, endpoint in monitor.entries("spec", "endpoints"):
            named = endpoint.get("port")
            if named is not None and numbers.get(named) != expected:
                goal = numbers.get(named, "nothing")
                mismatch = f"{service} leads it to {goal}, and LM_MANAGEMENT_PORT is {expected}"
                fix = "use a PodMonitor, or a Service of its own that leads to that port alone"
                yield monitor.finding((*path, "port"), named, mismatch, fix)
            yield from _path(monitor, path, endpoint)


def _annotations(workload: Workload) -> Iterator[Finding]:
    """Judge the annotations by which a Prometheus without its operator finds what to scrape."""
    path = (*workload.template, "metadata", "annotations")
    annotations = workload.object.mapping(*path)
    if str(annotations.get("prometheus.io/scrape")).lower() != "true":
        return
    port, asked = annotations.get("prometheus.io/port"), annotations.get("prometheus.io/path", "/metrics")
    expected = str(workload.settings.management_port)
    if port is not None and str(port) != expected:
        fix = f'set it to "{expected}"'
        yield workload.object.finding((*path, "prometheus.io/port"), port, f"LM_MANAGEMENT_PORT is {expected}", fix)
    if asked != "/metrics":
        where = (*path, "prometheus.io/path")
        yield workload.object.finding(where, asked, "the metrics are at /metrics", "set it to /metrics")
