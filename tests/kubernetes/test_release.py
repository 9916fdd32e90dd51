"""Releases that go well, under the load of clients that never retry."""

import json

from trial_service import REPLICAS, TrialService, losses


def test_a_canary_that_is_no_worse_becomes_the_stable_version_and_no_request_is_lost(released: TrialService) -> None:
    with released.under_every_load() as loads:
        ended = released.release("2")
    assert ended.returncode == 0, ended.stderr
    assert released.is_whole_at("2")
    assert losses(loads) == {}
    assert min(load.served for load in loads.values()) > 500


def test_a_rollback_brings_back_the_version_before_and_its_settings(released: TrialService) -> None:
    released.describe(LM_LATENCY="0.001")
    assert released.release("2", strategy="rolling").returncode == 0
    ended = released.run(released.words("rollback"))
    assert ended.returncode == 0, ended.stderr
    assert released.is_whole_at("1")
    (deployment,) = released.get("deployments")
    (settings,) = deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"]
    configs = {config["metadata"]["name"]: config for config in released.get("configmaps")}
    assert "LM_LATENCY" not in configs[settings["configMapRef"]["name"]]["data"]


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


def test_what_somebody_changed_by_hand_between_releases_is_what_a_failure_goes_back_to(released: TrialService) -> None:
    released.kubectl("set", "image", f"deployment/{released.name}", f"service={released.image}:3")
    released.kubectl("rollout", "status", f"deployment/{released.name}", "--timeout=60s")
    released.describe(LM_FAULT="crash")
    failed = released.release("2", strategy="rolling")
    assert failed.returncode == 1
    assert "what runs is not release 1" in failed.stderr
    assert released.is_whole_at("3"), failed.stderr
    records = json.loads(released.run(released.words("status", "--output", "json")).stdout)["records"]
    assert [(record["strategy"], record["outcome"]) for record in records[-2:]] == [
        ("found", "found"),
        ("rolling", "failed"),
    ]
    assert released.run(released.words("rollback")).returncode == 0
    assert released.is_whole_at("1")


def test_a_restart_and_a_scale_by_hand_are_no_change_of_what_runs(released: TrialService) -> None:
    released.kubectl("rollout", "restart", f"deployment/{released.name}")
    released.kubectl("scale", f"deployment/{released.name}", f"--replicas={REPLICAS + 1}")
    ended = released.release("2", strategy="rolling")
    assert ended.returncode == 0, ended.stderr
    assert "what runs is not" not in ended.stderr


def test_a_plan_can_be_made_before_there_is_a_namespace(trial: TrialService) -> None:
    elsewhere = f"{trial.name}-later"
    overlay = trial.overlay("qa") / "kustomization.yaml"
    overlay.write_text(overlay.read_text().replace(f'"namespace": "{trial.name}"', f'"namespace": "{elsewhere}"'))
    planned = trial.run(trial.words("plan", "--output", "json"))
    assert planned.returncode == 0, planned.stderr
    assert set(json.loads(planned.stdout)["objects"].values()) == {"create"}
    refused = trial.release("1")
    assert (refused.returncode, refused.stderr.count("Traceback")) == (1, 0)
    assert f'namespaces "{elsewhere}" not found' in refused.stderr


def test_what_passed_by_its_tag_may_go_on_by_its_digest_but_not_once_it_was_rolled_back(trial: TrialService) -> None:
    order = {"LM_DEPLOY_REQUIRED_BEFORE": '{"production": ["qa"]}'}
    trial.describe("production")
    for version in ("1", "2"):
        assert trial.release(version, strategy="rolling").returncode == 0
    digest = json.loads(trial.run(trial.words("status", "--output", "json")).stdout)["records"][-1]["digest"]
    assert digest.startswith("sha256:")
    # a node may have no image of that digest: it is let through, whatever becomes of it
    passed = trial.release(digest, environment="production", strategy="rolling", LM_DEPLOY_READY_TIMEOUT="5", **order)
    assert "step 1 of 1" in passed.stderr
    assert trial.run(trial.words("rollback")).returncode == 0
    refused = trial.release("2", environment="production", strategy="rolling", **order)
    assert (refused.returncode, "was rolled back in qa" in refused.stderr) == (1, True), refused.stderr


def test_status_and_plan_say_what_runs_and_what_would_change_as_json(released: TrialService) -> None:
    status = json.loads(released.run(released.words("status", "--output", "json")).stdout)
    assert [(record["number"], record["outcome"]) for record in status["records"]] == [(1, "released")]
    counts = {"pods": REPLICAS, "ready": REPLICAS, "updated": REPLICAS}
    assert status["deployments"] == [{"name": released.name, "image": f"{released.image}:1", **counts}]
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
