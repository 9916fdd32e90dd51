"""Pods: how they get ready, crash or hang, and what they tell on /metrics."""

import hashlib
import time
from typing import Any

from cluster_api.script import Behaviour, Script

Object = dict[str, Any]
FAMILY = "http_server_request_duration_seconds"
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BORN = "fake.test/born"


def image_of(pod: Object) -> str:
    """Return what its first container runs."""
    return str(pod["spec"]["containers"][0]["image"])


def age(pod: Object) -> float:
    """Return for how long there has been this pod, in seconds."""
    return time.monotonic() - float(pod["metadata"].get("annotations", {}).get(BORN, 0))


def status(pod: Object, behaviour: Behaviour, *, fits: bool) -> Object:
    """Return the status that the scheduler and the kubelet would have given it by now."""
    if not fits:
        unscheduled = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient cpu.",
        }
        return {"phase": "Pending", "conditions": [unscheduled]}
    ready = behaviour.ready_after is not None and age(pod) >= behaviour.ready_after
    ready = ready and not behaviour.crashes and not behaviour.unpullable
    names = [container["name"] for container in pod["spec"]["containers"]]
    images = [container["image"] for container in pod["spec"]["containers"]]
    return {
        "phase": "Pending" if behaviour.unpullable else "Running",
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Initialized", "status": "True"},
            {"type": "Ready", "status": str(ready)},
        ],
        "containerStatuses": [
            _container(name, image, behaviour, age(pod), ready=ready) for name, image in zip(names, images, strict=True)
        ],
    }


def _container(name: str, image: str, behaviour: Behaviour, seconds: float, *, ready: bool) -> Object:
    digest = behaviour.digest or f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"
    container = {"name": name, "image": image, "restartCount": behaviour.restarts, "ready": ready}
    if behaviour.unpullable:
        return {**container, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}
    container["imageID"] = f"{image.rpartition(':')[0]}@{digest}"
    if behaviour.crashes and seconds > (behaviour.ready_after or 0.0):
        ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
        waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting"}}
        return {**container, "restartCount": 3, "state": waiting, "lastState": ended}
    return {**container, "state": {"running": {}}}


def is_ready(pod: Object) -> bool:
    """Return whether its status says so."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def exposition(pod: Object, script: Script) -> tuple[int, str | Object]:
    """Return what the pod's /metrics answers by way of the API server."""
    if not is_ready(pod):
        message = f"error trying to reach service: dial tcp {pod['metadata']['name']}:8002: connect: connection refused"
        return 503, {"kind": "Status", "message": message, "code": 503}
    behaviour = script.behaviour(image_of(pod))
    total = int(age(pod) * behaviour.requests)
    errors = int(total * behaviour.error_ratio)
    lines = [f"# TYPE {FAMILY} histogram"]
    streams, endless = int(age(pod) * behaviour.streams), 2 * _BOUNDS[-1]
    for route, code, count, latency in (
        ("/", "200", total - errors, behaviour.latency),
        ("/", "500", errors, behaviour.latency),
        *([("/stream", "200", streams, endless)] if streams else []),
    ):
        labels = f'http_request_method="GET",http_route="{route}",http_response_status_code="{code}"'
        within = {bound: count if latency <= bound else 0 for bound in _BOUNDS}
        lines += [f'{FAMILY}_bucket{{{labels},le="{bound}"}} {number}' for bound, number in within.items()]
        lines += [f'{FAMILY}_bucket{{{labels},le="+Inf"}} {count}', f"{FAMILY}_count{{{labels}}} {count}"]
        lines.append(f"{FAMILY}_sum{{{labels}}} {count * latency}")
    return 200, "\n".join([*lines, ""])
