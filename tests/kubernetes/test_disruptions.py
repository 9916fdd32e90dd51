"""What ends pods, or changes them, while people ask them: by whatever way they ask, no request is lost."""

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from trial_service import REPLICAS, TrialService, losses

LIMIT = 90.0


def restart(trial: TrialService) -> None:
    """Replace every pod, as `kubectl rollout restart` does."""
    before = pods(trial)
    trial.kubectl("rollout", "restart", deployment(trial))
    wait(lambda: is_settled(trial) and not before & pods(trial))


def scale_down_and_up(trial: TrialService) -> None:
    """Have four pods, then one, then four."""
    for number in (4, 1, 4):
        trial.kubectl("scale", deployment(trial), f"--replicas={number}")
        wait_settled(trial, number)


def delete(trial: TrialService) -> None:
    """Delete a pod, as an administrator does."""
    name = min(pods(trial))
    trial.kubectl("delete", "pod", name, "--wait=false")
    wait(lambda: is_settled(trial) and name not in pods(trial))


def evict(trial: TrialService) -> None:
    """Evict a pod, as a node that is drained does, under a budget that lets one go at a time."""
    name = min(pods(trial))
    trial.kubectl("create", "poddisruptionbudget", "all-but-one", f"--selector=app={trial.name}", "--max-unavailable=1")
    wait(lambda: trial.get("poddisruptionbudgets")[0].get("status", {}).get("disruptionsAllowed") == 1)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": trial.name}}
    path = f"/api/v1/namespaces/{trial.name}/pods/{name}/eviction"
    words = ["kubectl", "create", "--raw", path, "-f", "-"]
    subprocess.run(words, input=json.dumps(eviction), text=True, check=True, capture_output=True, timeout=60)
    wait(lambda: is_settled(trial) and name not in pods(trial))


def autoscale_down(trial: TrialService) -> None:
    """Let an autoscaler take pods away: by its limit, for which it needs no metrics."""
    trial.kubectl("scale", deployment(trial), "--replicas=4")
    wait_settled(trial, 4)
    trial.kubectl("autoscale", deployment(trial), "--min=1", f"--max={REPLICAS}", "--cpu=50%")
    wait_settled(trial, REPLICAS)


def end_process(trial: TrialService) -> None:
    """Send SIGTERM to a container's first process, of which Kubernetes knows nothing before it has ended."""
    name = min(pods(trial))
    trial.kubectl("exec", name, "--", "sh", "-c", "kill 1")
    wait(lambda: restarts(trial, name) == 1 and is_settled(trial))


def resize(trial: TrialService) -> None:
    """Give a running pod other resources, which restarts nothing."""
    name = min(pods(trial))
    resources = {"requests": {"cpu": "20m"}, "limits": {"memory": "300Mi"}}
    patch = json.dumps({"spec": {"containers": [{"name": "service", "resources": resources}]}})
    trial.kubectl("patch", "pod", name, "--subresource=resize", "--patch", patch)
    wait(lambda: status(trial, name).get("resources", {}).get("requests", {}).get("cpu") == "20m")
    assert restarts(trial, name) == 0


DISTURBANCES = (restart, scale_down_and_up, delete, evict, autoscale_down, end_process, resize)


@pytest.mark.parametrize("disturb", DISTURBANCES, ids=lambda disturb: disturb.__name__)
def test_no_request_is_lost_while_pods_are_disturbed(
    released: TrialService, disturb: Callable[[TrialService], None]
) -> None:
    with released.under_every_load() as loads:
        disturb(released)
    assert losses(loads) == {}
    assert min(load.served for load in loads.values()) > 20


def deployment(trial: TrialService) -> str:
    return f"deployment/{trial.name}"


def pods(trial: TrialService) -> set[str]:
    return {pod["metadata"]["name"] for pod in trial.get("pods")}


def is_settled(trial: TrialService, wanted: int = REPLICAS) -> bool:
    """Return whether all pods that there are serve, and are as many as wanted."""
    return sum(trial.serving().values()) == wanted == len(trial.get("pods"))


def status(trial: TrialService, name: str) -> dict[str, Any]:
    """Return what is known of a pod's container."""
    (pod,) = [pod for pod in trial.get("pods") if pod["metadata"]["name"] == name]
    (container,) = pod["status"]["containerStatuses"]
    return dict(container)


def restarts(trial: TrialService, name: str) -> int:
    return int(status(trial, name)["restartCount"])


def wait_settled(trial: TrialService, wanted: int) -> None:
    wait(lambda: is_settled(trial, wanted))


def wait(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.5)
