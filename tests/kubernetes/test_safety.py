"""Everything that can go wrong: the old version serves whole, the exit code is not 0, and one line says why."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from trial_service import REPLICAS, TIMEOUT, TrialService, ended, said_until


def reason(finished: subprocess.CompletedProcess[str]) -> str:
    """The last line of a release that failed, which must be lmservice's own."""
    assert finished.returncode == 1, finished.stderr
    last = finished.stderr.strip().rpartition("\n")[2]
    assert last.startswith("lmservice: "), finished.stderr
    assert "Traceback" not in finished.stderr
    return last


@pytest.mark.parametrize(
    ("version", "settings", "problem"),
    [
        pytest.param("not-there", {}, "its image cannot be pulled", id="bad image"),
        pytest.param("2", {"LM_FAULT": "crash"}, "rolled back", id="crash loop"),
        pytest.param("2", {"LM_FAULT": "never_ready"}, "0 of 1 pods ready after 15 s", id="never ready"),
    ],
)
def test_a_version_that_does_not_get_ready_is_taken_back(
    released: TrialService, version: str, settings: dict[str, str], problem: str
) -> None:
    released.describe(**settings)
    timeout = "15" if "never_ready" in settings.values() else "60"
    assert problem in reason(released.release(version, LM_DEPLOY_READY_TIMEOUT=timeout))
    assert released.is_whole_at("1")


def test_a_version_with_five_per_cent_errors_is_taken_back_and_clients_saw_them_from_the_canary_alone(
    released: TrialService,
) -> None:
    released.describe(LM_ERROR_RATIO="0.05")
    with released.under_load() as load:
        last_line = reason(released.release("2", LM_DEPLOY_ANALYSIS_DURATION="30"))
    assert "of the canary's" in last_line
    assert "were errors" in last_line
    assert set(load.failures) == {"500"}
    # the canary has a third of the pods at the most, and errs in a twentieth of what it gets
    assert load.failures["500"] < load.served / (REPLICAS + 1) * 0.05 * 2
    assert released.is_whole_at("1")


def test_a_slower_version_is_taken_back(released: TrialService) -> None:
    released.describe(LM_LATENCY="0.4")
    with released.under_load(clients=24) as load:
        last_line = reason(released.release("2", LM_DEPLOY_ANALYSIS_DURATION="30", LM_DEPLOY_MIN_REQUESTS="50"))
    assert "the canary's p99 was" in last_line
    assert (load.failures, load.refused) == ({}, 0)
    assert released.is_whole_at("1")


def test_too_little_traffic_is_no_success(released: TrialService) -> None:
    assert "too little traffic to judge: the canary had 0 requests" in reason(released.release("2"))
    assert released.is_whole_at("1")


def test_a_quota_that_has_no_room_for_the_canary_is_named(released: TrialService) -> None:
    released.kubectl("create", "quota", "full", f"--hard=pods={REPLICAS}")
    assert "exceeded quota: full" in reason(released.release("2"))
    assert released.is_whole_at("1")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_rolls_back(released: TrialService, number: signal.Signals) -> None:
    pipeline = released.start("2", LM_DEPLOY_ANALYSIS_DURATION="60")
    said_until(pipeline, "analysis for 60 s")
    code, last_line = ended(pipeline, number)
    assert (code, last_line.startswith("lmservice: interrupted; rolled back")) == (130, True), last_line
    assert released.is_whole_at("1")


def test_an_output_that_is_closed_does_not_keep_a_failure_from_being_rolled_back(released: TrialService) -> None:
    pipeline = released.start("2", LM_DEPLOY_ANALYSIS_DURATION="10")
    said_until(pipeline, "analysis for 10 s")
    assert pipeline.stderr
    pipeline.stderr.close()
    assert pipeline.wait(TIMEOUT) == 1
    assert released.is_whole_at("1")


@pytest.mark.parametrize(
    ("verbs", "problem"),
    [
        (["get", "list", "watch"], 'cannot patch resource "'),
        (
            ["get", "list", "watch", "create", "update", "patch", "delete"],
            "no pod tells its figures through the API server",
        ),
    ],
    ids=["read only", "without pods/proxy"],
)
def test_rights_that_are_missing_are_named(released: TrialService, verbs: list[str], problem: str) -> None:
    """The rights of a pipeline's service account: the second has all but those to read the pods' metrics."""
    name = released.name
    rights = ",".join(verbs)
    released.kubectl("create", "serviceaccount", "pipeline")
    for number, kinds in enumerate(
        (
            "services,secrets,configmaps,pods",
            "deployments.apps,replicasets.apps",
            "ingresses.networking.k8s.io",
            "leases.coordination.k8s.io",
        )
    ):
        released.kubectl("create", "role", f"pipeline-{number}", f"--verb={rights}", f"--resource={kinds}")
        account = f"--serviceaccount={name}:pipeline"
        released.kubectl("create", "rolebinding", f"pipeline-{number}", f"--role=pipeline-{number}", account)
    kubeconfig = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    kubeconfig["users"][0]["user"] = {"token": released.kubectl("create", "token", "pipeline").strip()}
    path = released.overlay("qa").parent / "kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig))
    assert problem in reason(released.release("2", KUBECONFIG=str(path)))
    assert released.is_whole_at("1")


def test_after_a_pipeline_was_killed_the_old_version_serves_and_the_next_run_cleans_up_and_releases(
    released: TrialService,
) -> None:
    pipeline = released.start("2", LM_DEPLOY_ANALYSIS_DURATION="60")
    said_until(pipeline, "analysis for 60 s")
    ended(pipeline, signal.SIGKILL)
    assert released.serving()["1"] == REPLICAS
    again = released.release("3", strategy="rolling")
    assert again.returncode == 0, again.stderr
    assert "was left in the middle: cleaning up after it" in again.stderr
    assert released.is_whole_at("3")


def test_two_pipelines_do_not_release_at_once(released: TrialService) -> None:
    first = released.start("2", LM_DEPLOY_ANALYSIS_DURATION="60")
    said_until(first, "analysis for 60 s")
    assert "another pipeline is releasing" in reason(released.release("3", LM_DEPLOY_LOCK_WAIT="8"))
    ended(first, signal.SIGINT)
    assert released.is_whole_at("1")


@pytest.mark.alone
def test_an_api_server_that_goes_away_for_half_a_minute_ends_in_a_rollback(released: TrialService) -> None:
    node = pytest.importorskip("node")
    if not (node.STATE / "pids").exists():
        pytest.skip("this cluster is not ours to break: its API server stays up")
    with released.under_load() as load:
        pipeline = released.start("2", LM_DEPLOY_ANALYSIS_DURATION="120", LM_DEPLOY_LEASE_DURATION="60")
        said_until(pipeline, "analysis for 120 s")
        node.restart("kube-apiserver", pause=30)
        code, last_line = ended(pipeline)
    assert code == 1
    assert "the API server has not answered for 20 s" in last_line
    assert "rolled back" in last_line
    assert (load.failures, load.refused) == ({}, 0)
    end = time.monotonic() + 60
    while not released.is_whole_at("1"):
        assert time.monotonic() < end
        time.sleep(1)
