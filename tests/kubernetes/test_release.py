"""Releases that go well, under the load of clients that never retry."""

import json

from trial_service import REPLICAS, TrialService


def test_a_canary_that_is_no_worse_becomes_the_stable_version_and_no_request_is_lost(released: TrialService) -> None:
    with released.under_load() as load:
        ended = released.release("2")
    assert ended.returncode == 0, ended.stderr
    assert released.is_whole_at("2")
    assert (load.failures, load.refused) == ({}, 0)
    assert load.served > 1000


def test_a_rollback_brings_back_the_version_before_and_its_settings(released: TrialService) -> None:
    released.describe(LM_LATENCY="0.001")
    assert released.release("2", strategy="rolling").returncode == 0
    ended = released.run(released.words("rollback"))
    assert ended.returncode == 0, ended.stderr
    assert released.is_whole_at("1")
    assert not [each for each in released.get("configmaps") if "LM_LATENCY" in each.get("data", {})]


def test_the_first_release_of_a_service_is_made_whole_at_once(trial: TrialService) -> None:
    ended = trial.release("1")
    assert ended.returncode == 0, ended.stderr
    assert trial.is_whole_at("1")


def test_what_ran_before_the_first_release_is_what_it_goes_back_to(trial: TrialService) -> None:
    folder = str(trial.overlay("qa"))
    trial.kubectl("apply", "-k", folder)
    trial.kubectl("set", "image", f"deployment/{trial.name}", f"service={trial.image}:1")
    trial.kubectl("rollout", "status", f"deployment/{trial.name}", "--timeout=60s")
    trial.describe(LM_FAULT="crash")
    ended = trial.release("2", strategy="rolling")
    assert ended.returncode == 1
    assert trial.is_whole_at("1"), ended.stderr


def test_status_and_plan_say_what_runs_and_what_would_change_as_json(released: TrialService) -> None:
    status = json.loads(released.run(released.words("status", "--output", "json")).stdout)
    assert [(each["number"], each["outcome"]) for each in status["records"]] == [(1, "released")]
    assert status["deployments"][0]["status"]["readyReplicas"] == REPLICAS
    version = ["--image", released.image, "--version", "2"]
    plan = json.loads(released.run(released.words("plan", *version, "--output", "json")).stdout)
    assert plan["steps"][0] == {"step": "CanaryPods", "pods": 1}
    assert plan["traffic"] == "pods"
    assert plan["objects"][f"apps/Deployment/{released.name}/{released.name}"] == "change"
    assert released.is_whole_at("1")


def test_production_takes_only_what_has_passed_the_environments_before_unless_forced(trial: TrialService) -> None:
    order = {"LM_DEPLOY_REQUIRED_BEFORE": '{"production": ["qa"]}'}
    trial.describe("production")
    refused = trial.release("1", environment="production", **order)
    assert refused.returncode == 1
    assert "production takes only what has passed qa" in refused.stderr
    assert not trial.get("deployments")
    assert trial.release("1", "--force", environment="production", **order).returncode == 0
    assert trial.release("1", strategy="rolling", **order).returncode == 0
    assert trial.release("1", environment="production", strategy="rolling", **order).returncode == 0
