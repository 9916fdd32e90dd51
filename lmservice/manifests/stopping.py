"""The rules for stopping: a pod drains whole, told by its preStop hook, and given the time for it."""

import re
from collections.abc import Iterator

from lmservice.manifests.finding import Finding
from lmservice.manifests.objects import number, sequence
from lmservice.manifests.workload import Workload
from lmservice.settings.stop_budget import drain_budget

_HOOK = ("lifecycle", "preStop")
_GRACE = "terminationGracePeriodSeconds"
_DEFAULT_GRACE = 30  # Kubernetes'
_CALLS = re.compile(r"stop_helper|lmservice\S* stop\b|/stop\b")
_PORT = re.compile(r"https?://[^/\s:]*(?:\[[^\]]*\])?:(\d+)")
_SIGNALS = {
    "SIGKILL": "it ends the service at once: every request in flight is lost",
    "SIGINT": "it is a person's Ctrl-C: the drain skips its delay, and requests are lost",
    "SIGQUIT": "it ends the service with no drain: every request in flight is lost",
    "SIGUSR1": "it logs stacks and stops nothing: the pod would run on until it is killed",
}
_FIX = 'preStop: {exec: {command: ["lmservice", "stop"]}}'


def judge(workload: Workload) -> Iterator[Finding]:
    """Judge the hook, and the grace period."""
    yield from _hook(workload)
    yield from _signal(workload)
    yield from _grace(workload)


def _hook(workload: Workload) -> Iterator[Finding]:
    hook = workload.object.mapping(*workload.container, *_HOOK)
    if "httpGet" in hook:
        yield from _http(workload)
    elif "exec" in hook:
        yield from _exec(workload)
    elif hook:
        kinds = ", ".join(map(str, hook))
        yield workload.finding(_HOOK, kinds, "the drain begins with a call of /stop", f"use {_FIX}")
    elif workload.takes_requests:  # else nobody has to learn that it leaves
        lost = "without it the drain begins with SIGTERM, after the endpoints' removal has begun"
        yield workload.finding(_HOOK, None, lost, f"add {_FIX}")


def _signal(workload: Workload) -> Iterator[Finding]:
    """Judge `lifecycle.stopSignal`: SIGTERM alone begins a drain with all its phases.

    https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/ (Kubernetes 1.33 and later).
    """
    path = ("lifecycle", "stopSignal")
    signal = workload.value(*path)
    if signal is None:
        return
    if signal != "SIGTERM":
        expected = _SIGNALS.get(str(signal), "it begins no drain: the pod would run on until it is killed")
        yield workload.finding(path, signal, expected, "remove it: SIGTERM is the default")
    elif workload.object.value(*workload.pod, "os", "name") is None:
        fix = "set os: {name: linux} in the pod, or remove it: SIGTERM is the default"
        yield workload.finding(path, signal, "the API server refuses it without the pod's os.name", fix)


def _exec(workload: Workload) -> Iterator[Finding]:
    words = " ".join(str(word) for word in sequence(workload.value(*_HOOK, "exec", "command")))
    path, port = (*_HOOK, "exec", "command"), workload.settings.management_port
    if not _CALLS.search(words):
        yield workload.finding(path, words or None, "the drain begins with a call of /stop", f"use {_FIX}")
    for called_port in _PORT.findall(words):
        if int(called_port) != port:
            yield workload.finding(path, words, f"LM_MANAGEMENT_PORT is {port}", f"call port {port}, or use {_FIX}")


def _http(workload: Workload) -> Iterator[Finding]:
    path, port = (*_HOOK, "httpGet"), workload.settings.management_port
    asked_port, asked_path = workload.value(*path, "port"), workload.value(*path, "path")
    if workload.port(asked_port) != port:
        yield workload.finding((*path, "port"), asked_port, f"LM_MANAGEMENT_PORT is {port}", f"call port {port}")
    if asked_path != "/stop":
        yield workload.finding((*path, "path"), asked_path, "the drain begins with a call of /stop", "set it to /stop")
    if all(network.is_loopback for network in workload.settings.management_allow):
        allowed = ", ".join(map(str, workload.settings.management_allow))
        lost = (
            f"the kubelet calls from its node, and LM_MANAGEMENT_ALLOW is {allowed}: the hook gets 403, "
            "of which Kubernetes tells nobody"
        )
        yield workload.finding(path, "httpGet", lost, f"call from inside the pod: {_FIX}")


def _grace(workload: Workload) -> Iterator[Finding]:
    path, settings = (*workload.pod, _GRACE), workload.settings
    written = workload.object.value(*path)
    grace = number(written, _DEFAULT_GRACE)
    current = written if written is not None else f"missing, which is {_DEFAULT_GRACE}"
    needed, terms = drain_budget(settings)
    if grace < needed:
        fix = f"raise it to {needed:g} or more, or shorten the drain"
        yield workload.object.finding(path, current, f"{terms} = {needed:g} s", fix)
    elif grace != settings.termination_grace_period:
        declared = settings.termination_grace_period
        fix = f"let both be the same: set LM_TERMINATION_GRACE_PERIOD to {grace:g}"
        yield workload.object.finding(path, current, f"LM_TERMINATION_GRACE_PERIOD is {declared:g}", fix)
