"""Releases of a service behind a route of the Gateway API: the canary's share is its weight, and nothing is lost."""

import json
import signal
import subprocess
from collections import Counter

import pytest
from strict_client import Connection
from trial_service import ROUTE, TrialService, ended, said_until

ANALYSIS = {"LM_DEPLOY_ANALYSIS_DURATION": "15"}
SAMPLE = 600


@pytest.fixture
def routed(trial: TrialService) -> TrialService:
    """Version 1, released behind a route and no ingress."""
    trial.way_in = ROUTE
    trial.describe(LM_VERSION="1")
    released = trial.release("1", strategy="rolling")
    assert released.returncode == 0, released.stderr
    return trial


def share(trial: TrialService) -> float:
    """How many of a few hundred requests the canary answered."""
    request = trial.request
    answers: Counter[str] = Counter()
    with Connection(trial.port) as connection:
        for _ in range(SAMPLE):
            connection.send(request)
            answers[json.loads(connection.receive().body)["version"]] += 1
    return answers["2"] / SAMPLE


def backends(trial: TrialService) -> list[tuple[str, int]]:
    (route,) = trial.get("httproutes")
    (rule,) = route["spec"]["rules"]
    return [(backend["name"], backend["weight"]) for backend in rule["backendRefs"]]


def is_as_before(trial: TrialService, version: str) -> bool:
    """Whether one version serves alone, and neither the route nor the Services tell of a canary."""
    services = [service["metadata"]["name"] for service in trial.get("services")]
    return trial.is_whole_at(version) and services == [trial.name] and backends(trial) == [(trial.name, 1)]


def test_clients_see_the_share_of_each_stage_and_lose_nothing_when_the_canary_is_promoted(
    routed: TrialService,
) -> None:
    routed.describe(LM_VERSION="2")
    with routed.under_load() as load:
        pipeline = routed.start("2", **ANALYSIS)
        for stage, percent in (("weight of 10 %", 10), ("promote to 50 %", 50)):
            said_until(pipeline, stage)
            said_until(pipeline, "analysis for 15 s")
            assert backends(routed) == [(f"{routed.name}-stable", 100 - percent), (f"{routed.name}-canary", percent)]
            assert share(routed) == pytest.approx(percent / 100, abs=0.03)
        code, last_line = ended(pipeline)
    assert (code, load.failures, load.refused) == (0, {}, 0), last_line
    assert is_as_before(routed, "2")


def test_a_bad_canary_errs_in_its_share_alone_and_nothing_is_lost_on_the_way_back(routed: TrialService) -> None:
    routed.describe(LM_VERSION="2", LM_ERROR_RATIO="0.5")
    with routed.under_load() as load:
        failed = routed.release("2", **ANALYSIS)
    assert failed.returncode == 1, failed.stderr
    assert "were errors" in failed.stderr
    assert set(load.failures) == {"500"}
    assert load.failures["500"] < load.served * 0.10 * 0.5 * 1.5
    assert is_as_before(routed, "1")


def test_the_run_after_a_killed_one_makes_the_route_whole_without_losing_a_request(routed: TrialService) -> None:
    routed.describe(LM_VERSION="2")
    with routed.under_load() as load:
        pipeline = routed.start("2", **ANALYSIS)
        said_until(pipeline, "analysis for 15 s")
        ended(pipeline, signal.SIGKILL)
        assert len(backends(routed)) == 2
        again = routed.release("3", strategy="rolling")
    assert again.returncode == 0, again.stderr
    assert (load.failures, load.refused) == ({}, 0)
    assert is_as_before(routed, "3")


def test_a_gateway_that_does_not_take_the_weights_ends_the_release(routed: TrialService) -> None:
    """A route of another namespace's gateway may not use what it names; here the canary's Service lost the port."""
    path = routed.overlay("qa") / "service.yaml"
    path.write_text(path.read_text().replace("port: 80, targetPort", "port: 81, targetPort"))
    failed = routed.release("2")
    assert failed.returncode == 1
    assert "with weights" in failed.stderr
    assert "rolled back" in failed.stderr
    assert is_as_before(routed, "1")


def test_plan_says_what_gives_the_canary_its_share(routed: TrialService) -> None:
    def planned(*more: str) -> subprocess.CompletedProcess[str]:
        version = ["--image", routed.image, "--version", "2"]
        return routed.run(routed.words("plan", *version, *more))

    plan = json.loads(planned("--output", "json").stdout)
    assert plan["traffic"] == "weights"
    assert plan["steps"][:2] == [{"step": "CanaryPods", "pods": 1}, {"step": "SetWeight", "percent": 10}]
    assert "the canary's share of the traffic: by the weights of the overlay's routes" in planned().stdout
