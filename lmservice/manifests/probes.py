"""The rules for probes: the kubelet asks the right listener the right thing, and waits long enough for it."""

from collections.abc import Iterator
from ipaddress import ip_address

from lmservice.manifests.finding import Finding
from lmservice.manifests.objects import number
from lmservice.manifests.workload import Workload

_PATHS = {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
_PURPOSE = {
    "startupProbe": "without it the other probes judge a service that is still starting",
    "livenessProbe": "without it a service whose event loop hangs is never restarted",
    "readinessProbe": "without it requests come before the service is ready, and go on coming to one that is not",
}
_PERIOD, _FAILURES, _TIMEOUT, _GRACE = 10, 3, 1, 30  # Kubernetes' defaults
_HANGING_GRACE = 10
"""The longest that a pod which hangs may sensibly be waited for, in seconds."""


def judge(workload: Workload) -> Iterator[Finding]:
    """Judge all three probes, each by its path, its port and its timing."""
    for name, path in _PATHS.items():
        if not workload.object.mapping(*workload.container, name):
            port = workload.settings.management_port
            fix = f"add httpGet: {{path: {path}, port: {port}}}"
            yield workload.finding((name,), None, _PURPOSE[name], fix)
            continue
        yield from _target(workload, name)
        if name != "startupProbe":  # a slow answer there only makes its window longer
            yield from _timing(workload, name)
    yield from _window(workload)
    yield from _patience(workload)
    yield from _hanging(workload)
    yield from _reachable(workload)


def _target(workload: Workload, name: str) -> Iterator[Finding]:
    port = workload.settings.management_port
    if not workload.object.mapping(*workload.container, name, "httpGet"):
        kinds = [kind for kind in ("exec", "tcpSocket", "grpc") if workload.value(name, kind) is not None]
        fix = f"use httpGet: {{path: {_PATHS[name]}, port: {port}}}"
        yield workload.finding((name,), ", ".join(kinds) or "empty", f"only {_PATHS[name]} knows the state", fix)
        return
    yield from _path(workload, name)
    asked = workload.value(name, "httpGet", "port")
    if workload.port(asked) != port:
        description = (
            asked if not isinstance(asked, str) else f"{asked} ({workload.ports.get(asked, 'no port of that name')})"
        )
        fix = f"ask the management listener: port: {port}"
        yield workload.finding((name, "httpGet", "port"), description, f"LM_MANAGEMENT_PORT is {port}", fix)
    scheme = workload.value(name, "httpGet", "scheme")
    if scheme not in (None, "HTTP"):
        fix = "remove the scheme"
        yield workload.finding((name, "httpGet", "scheme"), scheme, "the management listener speaks plain HTTP", fix)


def _path(workload: Workload, name: str) -> Iterator[Finding]:
    path = workload.value(name, "httpGet", "path")
    if path != _PATHS[name]:
        wrong = {
            ("livenessProbe", "/readyz"): "it would restart a service that only drains or waits for a dependency",
            ("readinessProbe", "/livez"): "it would send requests to a service that is starting or draining",
        }.get((name, str(path)), f"{name[:-5]} is answered by {_PATHS[name]}")
        yield workload.finding((name, "httpGet", "path"), path, wrong, f"set it to {_PATHS[name]}")


def _timing(workload: Workload, name: str) -> Iterator[Finding]:
    period = number(workload.value(name, "periodSeconds"), _PERIOD)
    timeout = number(workload.value(name, "timeoutSeconds"), _TIMEOUT)
    if timeout > period:
        fix = "shorten the timeout; the probes answer from memory, in milliseconds"
        yield workload.finding((name, "timeoutSeconds"), timeout, f"periodSeconds is {period:g}", fix)


def _window(workload: Workload) -> Iterator[Finding]:
    """Judge whether the start-up probe gives up before the service does."""
    name, limit = "startupProbe", workload.settings.startup_timeout
    if not workload.object.mapping(*workload.container, name):
        return
    period = number(workload.value(name, "periodSeconds"), _PERIOD)
    failures = number(workload.value(name, "failureThreshold"), _FAILURES)
    window = number(workload.value(name, "initialDelaySeconds"), 0) + period * failures
    if window < limit:
        description = f"{failures:g}, times periodSeconds {period:g}: gives up after {window:g} s"
        fix = f"raise it to {_least(limit, period):g}, or lower LM_STARTUP_TIMEOUT"
        yield workload.finding((name, "failureThreshold"), description, f"LM_STARTUP_TIMEOUT is {limit:g} s", fix)


def _least(limit: float, period: float) -> float:
    return -(-limit // period) + 1 if period else limit


def _patience(workload: Workload) -> Iterator[Finding]:
    name = "livenessProbe"
    failures = workload.value(name, "failureThreshold")
    if failures is not None and number(failures, _FAILURES) < 2:  # noqa: PLR2004 - one lost packet
        fix = "set it to 3"
        yield workload.finding((name, "failureThreshold"), failures, "one answer that is lost would restart it", fix)


def _hanging(workload: Workload) -> Iterator[Finding]:
    """Judge how long a pod is waited for whose event loop hangs: it cannot drain, so the pod's own grace is lost time.

    The probe has one of its own:
    https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/.
    """
    name, field = "livenessProbe", "terminationGracePeriodSeconds"
    if not workload.object.mapping(*workload.container, name):
        return
    own = workload.value(name, field)
    grace = number(workload.object.value(*workload.pod, field) if own is None else own, _GRACE)
    if grace > _HANGING_GRACE:
        current = own if own is not None else f"missing, which is the pod's {grace:g}"
        expected = "a service that hangs cannot drain, and would be waited for that long before it starts anew"
        yield workload.finding((name, field), current, expected, "set it to 5")


def _reachable(workload: Workload) -> Iterator[Finding]:
    for name, who in (("host", "Service"), ("management_host", "kubelet's probes")):
        host = getattr(workload.settings, name)
        if _is_loopback(host):
            fix = f"unset LM_{name.upper()}"
            yield workload.finding(("env",), f"LM_{name.upper()} {host}", f"the {who} come from outside the pod", fix)
    for name in ("port", "management_port"):
        if getattr(workload.settings, name) == 0:
            fix = f"unset LM_{name.upper()}, or give it a number"
            yield workload.finding(("env",), f"LM_{name.upper()} 0", "a free port is one that nobody else knows", fix)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
