"""The worst that releases have done, on a real cluster: tests/deploy has each of them, and the rest, on a fake one."""

import json
import signal
import subprocess
import time
from typing import Any

import pytest
import yaml
from trial_service import MANIFEST, REPLICAS, TrialService, ended, said_until


def outcomes(trial: TrialService) -> list[str]:
    status = json.loads(trial.run(trial.words("status", "--output", "json")).stdout)
    return [record["outcome"] for record in status["records"]]


def apply(trial: TrialService, item: dict[str, Any]) -> None:
    words = ["kubectl", "-n", trial.name, "apply", "-f", "-"]
    subprocess.run(words, input=json.dumps(item), text=True, check=True, capture_output=True, timeout=60)


def add_to_overlay(trial: TrialService, item: dict[str, Any]) -> None:
    path = trial.overlay("qa") / "service.yaml"
    path.write_text(f"{path.read_text()}\n---\n{json.dumps(item)}\n")


def hanging(trial: TrialService) -> subprocess.Popen[str]:
    """Start a release whose canary never gets ready."""
    trial.describe(LM_FAULT="never_ready")
    pipeline = trial.start("2", LM_DEPLOY_READY_TIMEOUT="120")
    said_until(pipeline, "step 1")
    said_until(pipeline, "1 starting")
    return pipeline


def falls_ill(trial: TrialService) -> None:
    """Let the version that serves crash, by what it reads when it starts, as one does hours after its release."""
    (config,) = [item for item in trial.get("configmaps") if "LM_ENVIRONMENT" in item.get("data", {})]
    patch = json.dumps({"data": {"LM_FAULT": "crash"}})
    trial.kubectl("patch", "configmap", config["metadata"]["name"], "--type=merge", "-p", patch)
    trial.kubectl("delete", "pods", "--all", "--wait=false")
    end = time.monotonic() + 60
    while trial.serving():
        assert time.monotonic() < end
        time.sleep(0.5)


def test_a_cluster_role_outlives_releases_that_have_it_and_those_that_do_not(trial: TrialService) -> None:
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": trial.name}}
    try:
        for item in [item for item in yaml.safe_load_all(MANIFEST.format(name=trial.name, replicas=0)) if item]:
            apply(trial, item)
        apply(trial, {**role, "rules": []})
        add_to_overlay(trial, {**role, "rules": []})
        assert trial.release("1", strategy="rolling").returncode == 0
        trial.describe()
        assert trial.release("2", strategy="rolling").returncode == 0
        assert trial.kubectl("get", "clusterrole", trial.name)
    finally:
        trial.kubectl("delete", "clusterrole", trial.name)


def test_a_deployment_of_the_canarys_name_is_left_alone_and_refuses_the_release(released: TrialService) -> None:
    item = next(yaml.safe_load_all(MANIFEST.format(name=f"{released.name}-canary", replicas=0)))
    apply(released, item)
    refused = released.release("2")
    assert (refused.returncode, "is not lmservice's" in refused.stderr) == (1, True), refused.stderr
    assert item["metadata"]["name"] in {deployment["metadata"]["name"] for deployment in released.get("deployments")}


def test_a_release_over_a_version_that_crashes_goes_through_in_one_command(released: TrialService) -> None:
    falls_ill(released)
    released.describe(LM_LATENCY="0.001")
    done = released.release("2")
    assert done.returncode == 0, done.stderr
    assert "there is nothing to compare with, the canary is left out" in done.stderr
    assert released.is_whole_at("2")


def test_a_failure_over_a_version_that_crashes_blocks_no_later_release(released: TrialService) -> None:
    falls_ill(released)
    failed = released.release("not-there", LM_DEPLOY_READY_TIMEOUT="120")
    assert failed.returncode == 1
    assert "does not serve whole" in failed.stderr
    assert outcomes(released) == ["released", "failed"]
    released.describe(LM_LATENCY="0.001")
    assert released.release("3", strategy="rolling").returncode == 0
    assert released.is_whole_at("3")


def test_a_rollback_goes_to_the_settings_before_and_never_forward(released: TrialService) -> None:
    released.describe(LM_LATENCY="0.001")
    assert released.release("1", strategy="rolling").returncode == 0
    assert released.release("2", strategy="rolling").returncode == 0
    for strategy in ("rollback to 2", "rollback to 1"):
        assert released.run(released.words("rollback")).returncode == 0
        status = json.loads(released.run(released.words("status", "--output", "json")).stdout)
        assert status["records"][-1]["strategy"] == strategy
    again = released.run(released.words("rollback"))
    assert (again.returncode, "no release before this one" in again.stderr) == (1, True), again.stderr


def test_kubectl_rollout_undo_works_after_a_release_and_is_none_that_went_through(released: TrialService) -> None:
    released.describe(LM_LATENCY="0.001")
    assert released.release("2", strategy="rolling").returncode == 0
    released.kubectl("rollout", "undo", f"deployment/{released.name}")
    released.kubectl("rollout", "status", f"deployment/{released.name}", "--timeout=60s")
    assert released.is_whole_at("1")
    assert released.release("not-there", strategy="rolling").returncode == 1
    assert outcomes(released) == ["released", "released", "found", "failed"]


def test_what_kubectl_applied_before_is_taken_over_and_named(trial: TrialService) -> None:
    item = next(yaml.safe_load_all(MANIFEST.format(name=trial.name, replicas=REPLICAS)))
    (container,) = item["spec"]["template"]["spec"]["containers"]
    container |= {"image": f"{trial.image}:1", "env": [{"name": "OLD", "value": "1"}], "envFrom": []}
    apply(trial, item)
    trial.kubectl("rollout", "status", f"deployment/{trial.name}", "--timeout=60s")
    done = trial.release("2", strategy="rolling")
    assert done.returncode == 0, done.stderr
    assert "env OLD" in done.stderr
    (deployment,) = trial.get("deployments")
    assert "env" not in deployment["spec"]["template"]["spec"]["containers"][0]


def test_what_runs_is_seen_where_no_release_went_through(trial: TrialService) -> None:
    assert trial.release("not-there", strategy="rolling").returncode == 1
    item = next(yaml.safe_load_all(MANIFEST.format(name=trial.name, replicas=REPLICAS)))
    (container,) = item["spec"]["template"]["spec"]["containers"]
    container |= {"image": f"{trial.image}:1", "envFrom": []}
    apply(trial, item)
    trial.kubectl("rollout", "status", f"deployment/{trial.name}", "--timeout=60s")
    failed = trial.release("not-there", strategy="rolling")
    assert "rolled back, " in failed.stderr
    assert trial.is_whole_at("1")


def test_two_environments_in_one_namespace_do_not_release_one_deployment_at_once(released: TrialService) -> None:
    released.describe("staging")
    words = ["--image", released.image, "--version", "3", "--strategy", "rolling"]
    first = hanging(released)
    other = released.run(released.words("run", *words, environment="staging"), LM_DEPLOY_LOCK_WAIT="0")
    ended(first, signal.SIGINT)
    assert (other.returncode, "another pipeline is releasing" in other.stderr) == (1, True), other.stderr
    assert released.is_whole_at("1")


@pytest.mark.parametrize("number", [signal.SIGINT, None], ids=["on the way back", "on its way"])
def test_a_pipeline_that_has_lost_its_lock_touches_nothing_any_more(
    released: TrialService, number: signal.Signals | None
) -> None:
    pipeline = hanging(released)
    pipeline.send_signal(signal.SIGSTOP)  # as a runner that is suspended
    patch = json.dumps({"spec": {"holderIdentity": "somebody else", "leaseDurationSeconds": 600}})
    released.kubectl("patch", "lease", f"{released.name}-deploy", "--type=merge", "-p", patch)
    time.sleep(7)  # longer than LM_DEPLOY_LEASE_DURATION of the trial service
    if number:
        pipeline.send_signal(number)
    pipeline.send_signal(signal.SIGCONT)
    code, last_line = ended(pipeline)
    assert (code, "somebody else has taken over the lock" in last_line) == (1, True), last_line
    assert f"{released.name}-canary" in {deployment["metadata"]["name"] for deployment in released.get("deployments")}
