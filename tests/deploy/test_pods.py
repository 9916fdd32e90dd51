"""What a release makes of the pods and Deployments that the API server tells of."""

from typing import Any

import pytest

from lmservice.deploy.pods import read_pod
from lmservice.deploy.rollout import RolloutState


def container(name: str, *, restarts: int = 0, **state: Any) -> dict[str, Any]:
    image = {"image": f"{name}:1", "imageID": f"registry/{name}@sha256:{name}"}
    return {"name": name, "ready": "running" in state, "restartCount": restarts, "state": state, **image}


def item(*containers: dict[str, Any], init: tuple[dict[str, Any], ...] = (), **status: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": state["name"], "image": state["image"]} for state in containers]}
    made = {"containerStatuses": list(containers), "initContainerStatuses": list(init), **status}
    return {"metadata": {"name": "shop-1"}, "spec": spec, "status": made}


FAILED = {"reason": "CrashLoopBackOff"}
WAITING = container("shop", waiting={"reason": "PodInitializing"})


def test_an_init_container_that_fails_again_and_again_is_hopeless_and_named() -> None:
    migrate = {**container("migrate", restarts=2, waiting=FAILED), "lastState": {"terminated": {"exitCode": 3}}}
    pod = read_pod(item(WAITING, init=(migrate,)), "shop")
    assert pod.problem == "it crashes again and again (container migrate: exit code 3)"
    assert pod.restarts == 2


def test_an_init_container_that_has_not_ended_is_what_a_pod_waits_for() -> None:
    uninitialised = [{"type": "Initialized", "status": "False"}]
    slow = {**container("migrate", running={}), "ready": False}
    pod = read_pod(item(WAITING, init=(container("done", running={}), slow), conditions=uninitialised), "shop")
    assert pod.waiting == "its init container migrate has not ended"


def test_an_end_tells_kubernetes_reason_where_it_has_one() -> None:
    killed = {
        **container("shop", restarts=1, running={}),
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }
    assert read_pod(item(killed), "shop").ended == "container shop: OOMKilled, exit code 137"
    assert read_pod(item(container("shop", running={})), "shop").ended == ""


def test_a_container_that_was_put_beside_the_services_own_is_not_its_version() -> None:
    pod = read_pod(item(container("a-proxy", running={}), container("shop", running={})), "shop")
    assert (pod.image, pod.digest) == ("shop:1", "sha256:shop")


def look(condition: dict[str, str], *, observed: int, paused: bool = False, template: str = "1") -> RolloutState:
    conditions = [{"status": "True", **condition}]
    deployment = {
        "metadata": {"name": "shop", "generation": 2},
        "spec": {"replicas": 1, "paused": paused},
        "status": {"observedGeneration": observed, "conditions": conditions},
    }
    return RolloutState(deployment, [], template, "")


@pytest.mark.parametrize(
    ("condition", "problem"),
    [
        ({"type": "ReplicaFailure", "message": "exceeded quota"}, "the cluster refuses its pods: exceeded quota"),
        ({"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "slow"}, "it made no progress: slow"),
    ],
)
def test_what_kubernetes_says_of_the_last_rollout_is_not_held_against_the_next(
    condition: dict[str, str], problem: str
) -> None:
    assert look(condition, observed=2).refusal == problem
    assert look(condition, observed=1).refusal == ""
    assert look(condition, observed=2, template="").refusal == "", "no ReplicaSet is of this template yet"


def test_a_rollout_that_somebody_paused_says_so_at_once() -> None:
    assert "kubectl rollout resume" in look({"type": "Available"}, observed=2, paused=True).refusal
