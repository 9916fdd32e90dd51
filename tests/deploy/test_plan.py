"""Plans and requests are data, and are refused when they are made rather than halfway through a release."""

import json
from typing import Any

import pytest

from lmservice.deploy import (
    Analysis,
    CanaryPods,
    DeployRequest,
    DeploySettings,
    DeployUsageError,
    Pause,
    Plan,
    Promote,
    SetWeight,
    canary_plan,
    rolling_plan,
)
from lmservice.deploy.settings import load


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ((), "it must end with Promote(100); its stages are: none"),
        ((CanaryPods(1), Promote(50)), "it must end with Promote(100); its stages are: 50"),
        ((Promote(50), Promote(25), Promote(100)), "its stages must rise: 50, 25, 100"),
        ((Promote(100), Promote(100)), "its stages must rise: 100, 100"),
        ((Promote(100), Pause(1)), "it must end with Promote(100)"),
        ((CanaryPods(0), Promote(100)), "a canary has 1 pod or more, not 0"),
        ((CanaryPods(pods=True), Promote(100)), "a canary has 1 pod or more, not True"),
        ((Promote(0), Promote(100)), "a stage is 1 to 100 per cent, not 0"),
        ((Promote(101),), "a stage is 1 to 100 per cent, not 101"),
        ((CanaryPods(1), Pause(-1), Promote(100)), "take more than 0 seconds, not -1"),
        ((CanaryPods(1), Analysis(float("nan")), Promote(100)), "take more than 0 seconds, not nan"),
        ((Analysis(1), Promote(100)), "Analysis needs a canary: begin with CanaryPods"),
        ((SetWeight(10), Promote(100)), "SetWeight needs a canary: begin with CanaryPods"),
        ((CanaryPods(1), SetWeight(0), Promote(100)), "a weight is 1 to 99 per cent, not 0"),
        ((CanaryPods(1), SetWeight(100), Promote(100)), "a weight is 1 to 99 per cent, not 100"),
        ((CanaryPods(1), Promote(50), SetWeight(10), Promote(100)), "must not fall: 50, 10, 100"),
        ((Promote(50), CanaryPods(1), Promote(100)), "CanaryPods comes once, and before all else"),
    ],
)
def test_a_plan_that_cannot_work_is_refused_when_it_is_built(steps: Any, reason: str) -> None:
    with pytest.raises(DeployUsageError) as caught:
        Plan(steps)
    assert reason in str(caught.value)


def test_a_plan_survives_json() -> None:
    plan = Plan((CanaryPods(2), SetWeight(5), Pause(5), Analysis(30), Promote(50), Promote(100)))
    assert Plan.from_data(json.loads(json.dumps(plan.data()))) == plan


@pytest.mark.parametrize("data", [{"step": "Explode"}, {"step": "Promote", "per": 5}, {}])
def test_a_step_that_does_not_exist_is_named(data: dict[str, Any]) -> None:
    with pytest.raises(DeployUsageError, match="is no step"):
        Plan.from_data([data])


def test_the_plan_of_a_canary_compares_before_each_stage_of_its_settings() -> None:
    plan = canary_plan(DeploySettings(canary_pods=2, stages=(30, 100), analysis_duration=9))
    assert plan.steps == (CanaryPods(2), Analysis(9), Promote(30), Analysis(9), Promote(100))
    assert rolling_plan().steps == (Promote(100),)


@pytest.mark.parametrize(("stages", "weight"), [((25, 100), 10), ((5, 100), 5)])
def test_a_canary_with_a_route_begins_with_its_weight_and_never_above_its_first_stage(
    stages: tuple[int, ...], weight: int
) -> None:
    plan = canary_plan(DeploySettings(stages=stages), weighted=True)
    assert plan.steps[:3] == (CanaryPods(1), SetWeight(weight), Analysis(60))


@pytest.mark.parametrize(("percent", "stable", "pods"), [(25, 3, 1), (25, 4, 2), (50, 4, 4), (75, 4, 12), (1, 4, 1)])
def test_a_stage_has_so_many_pods_that_its_share_of_the_traffic_is_reached(
    percent: int, stable: int, pods: int
) -> None:
    assert Promote(percent).canary_pods(stable) == SetWeight(percent).canary_pods(stable) == pods


def test_each_word_of_a_request_gives_a_new_one() -> None:
    bare = DeployRequest("search-service")
    whole = bare.with_artifact("registry.intra/search-service", version=2).from_git_repo("git.intra/team/app")
    assert bare == DeployRequest("search-service")
    assert (str(whole.artifact), whole.source and whole.source.path) == ("registry.intra/search-service:2", "deploy")
    assert str(bare.with_artifact("registry.intra:5000/team/app", "2").artifact) == "registry.intra:5000/team/app:2"
    digest = "sha256:" + "0" * 64
    assert str(bare.with_artifact("registry.intra/app", digest).artifact) == f"registry.intra/app@{digest}"


@pytest.mark.parametrize(
    "make",
    [
        lambda: DeployRequest("Search Service"),
        lambda: DeployRequest("a" * 53),
        lambda: DeployRequest("a").with_artifact("registry/App", "1"),
        lambda: DeployRequest("a").with_artifact("registry/app:1", ""),
        lambda: DeployRequest("a").with_artifact("app:1", "2"),
        lambda: DeployRequest("a").with_artifact("registry/app", "latest"),
        lambda: DeployRequest("a").with_artifact("registry/app", "1 2"),
        lambda: DeployRequest("a").from_git_repo("--upload-pack=evil"),
        lambda: DeployRequest("a").from_git_repo("git.intra/a", revision="--all"),
        lambda: DeployRequest("a").from_git_repo("git.intra/a", path="../other"),
    ],
)
def test_a_request_that_cannot_be_right_is_refused(make: Any) -> None:
    with pytest.raises(DeployUsageError):
        make()


def test_settings_that_cannot_be_used_are_named_by_their_variables_and_without_their_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LM_DEPLOY_MIN_REQUESTS", "a-secret")
    monkeypatch.setenv("LM_DEPLOY_LATENCY_FACTOR", "0.5")
    with pytest.raises(DeployUsageError) as caught:
        load()
    first, second = str(caught.value).splitlines()
    assert first.startswith("LM_DEPLOY_MIN_REQUESTS: ")
    assert second.startswith("LM_DEPLOY_LATENCY_FACTOR: ")
    assert "a-secret" not in str(caught.value)
