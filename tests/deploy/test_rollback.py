"""Going back: to the release before, one at a time, and what a failure goes back to."""

import os
import shutil
import signal
import subprocess

import pytest
from cluster_api.cluster import FakeCluster
from cluster_api.shop import IMAGE, Shop

from lmservice.deploy import InterruptedReleaseError, RefusedError, ReleaseFailedError

NEEDS_KUBECTL = pytest.mark.skipif(not shutil.which("kubectl"), reason="not installed: kubectl")


def greeting(cluster: FakeCluster) -> str:
    """What the pods that serve have as LM_GREETING."""
    (deployment,) = cluster.all("Deployment")
    name = deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"]
    config_map = cluster.get("ConfigMap", name, "team")
    assert config_map, f"the ConfigMap {name} that the pods name is not there"
    return str(config_map["data"].get("LM_GREETING", ""))


def test_a_rollback_goes_to_the_release_before_a_settings_as_an_images(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")
    for words in ("hello", "hi"):
        shop.describe(LM_GREETING=words)
        shop.rolling("2")
    assert shop.rollback().strategy == "rollback to 2"
    assert greeting(cluster) == "hello"
    assert shop.rollback().strategy == "rollback to 1"
    assert shop.is_whole_at("1")


def test_rolling_back_twice_never_goes_forward_to_what_was_rolled_back_from(shop: Shop) -> None:
    for version in ("1", "2", "3"):
        shop.rolling(version)
    assert [shop.rollback().artifact[-1], shop.rollback().artifact[-1]] == ["2", "1"]
    with pytest.raises(RefusedError, match="shop has no release before this one in qa to go back to"):
        shop.rollback()
    shop.rolling("4")
    assert shop.rollback().artifact[-1] == "1"


def test_a_release_that_changed_nothing_is_no_place_to_go_back_to(shop: Shop) -> None:
    for version in ("1", "2", "2"):
        shop.rolling(version)
    assert shop.rollback().artifact[-1] == "1"


def test_a_rollback_to_a_number_goes_there_and_no_further_than_what_went_through(
    shop: Shop, cluster: FakeCluster
) -> None:
    shop.rolling("1")
    cluster.behaves(f"{IMAGE}:2", crashes=True)
    with pytest.raises(ReleaseFailedError):
        shop.rolling("2")
    shop.rolling("3")
    with pytest.raises(RefusedError, match="shop has no release 2 in qa to go back to"):
        shop.rollback(to=2)
    assert shop.rollback(to=1).artifact[-1] == "1"
    assert shop.is_whole_at("1")


def test_the_config_maps_of_the_replica_sets_that_are_kept_stay_and_others_go(shop: Shop, cluster: FakeCluster) -> None:
    shop.objects[0]["spec"]["revisionHistoryLimit"] = 1
    for words in ("a", "b", "c"):
        shop.describe(LM_GREETING=words)
        shop.rolling("1")
    cluster.wait(lambda: len(cluster.all("ReplicaSet")) == 2)
    shop.describe(LM_GREETING="d")
    shop.rolling("1")
    cluster.wait(lambda: len(cluster.all("ReplicaSet")) == 2)
    kept = {config_map["data"]["LM_GREETING"] for config_map in cluster.all("ConfigMap", "team")}
    assert {"c", "d"} <= kept
    assert "a" not in kept


@NEEDS_KUBECTL
def test_kubectl_rollout_undo_works_after_a_release_and_is_not_recorded_as_one_that_went_through(
    shop: Shop, cluster: FakeCluster
) -> None:
    shop.rolling("1")
    shop.describe(LM_GREETING="hello")
    shop.rolling("2")
    undone = subprocess.run(
        ["kubectl", "rollout", "undo", "deployment/shop"], capture_output=True, text=True, timeout=60, check=False
    )
    assert undone.returncode == 0, undone.stderr
    assert shop.is_whole_at("1")
    assert greeting(cluster) == ""
    cluster.behaves(f"{IMAGE}:3", crashes=True)
    with pytest.raises(ReleaseFailedError):
        shop.rolling("3")
    assert shop.is_whole_at("1")
    assert [outcome for *_, outcome in shop.records()] == ["released", "released", "found", "failed"]
    with pytest.raises(RefusedError, match="no release before this one"):
        shop.rollback()


def test_what_was_changed_by_hand_is_gone_back_to_after_a_failure_and_from_by_a_rollback(
    shop: Shop, cluster: FakeCluster
) -> None:
    shop.rolling("1")
    (deployment,) = cluster.all("Deployment")
    cluster.change(
        deployment,
        lambda item: item["spec"]["template"]["spec"]["containers"][0].update(image=f"{IMAGE}:3"),
        "kubectl-set",
    )
    cluster.wait(lambda: cluster.serving() == {f"{IMAGE}:3": 2})
    cluster.behaves(f"{IMAGE}:2", crashes=True)
    with pytest.raises(ReleaseFailedError):
        shop.rolling("2")
    assert shop.is_whole_at("3")
    assert "what runs is not release 1" in shop.text()
    assert shop.rollback().artifact[-1] == "1"
    assert shop.is_whole_at("1")


def test_what_runs_is_seen_where_no_release_went_through_yet(shop: Shop, cluster: FakeCluster) -> None:
    cluster.behaves(f"{IMAGE}:1", crashes=True)
    with pytest.raises(ReleaseFailedError):
        shop.rolling("1")
    shop.runs_by_hand("0")
    cluster.behaves(f"{IMAGE}:2", crashes=True)
    for release in (shop.rolling, shop.canary):
        with pytest.raises(ReleaseFailedError, match="shop:0 serves"):
            release("2")
        assert shop.is_whole_at("0")
    assert shop.said("step")[0]["step"] == "canary of 1 pod"


def test_a_failed_first_release_takes_along_what_it_made(shop: Shop, cluster: FakeCluster) -> None:
    cluster.behaves(f"{IMAGE}:1", crashes=True)
    with pytest.raises(ReleaseFailedError, match="rolled back, what it had made is deleted"):
        shop.canary("1")
    assert (cluster.names("Deployment"), cluster.names("Service"), cluster.names("ConfigMap", "team")) == (
        set(),
        set(),
        set(),
    )


@pytest.mark.parametrize("moment", ["step canary of 1 pod", "analysis", "step promote to 100 %"])
def test_an_interruption_at_any_moment_rolls_back(shop: Shop, moment: str) -> None:
    shop.rolling("1")

    def interrupt() -> None:
        raise KeyboardInterrupt

    shop.during[moment] = interrupt
    with pytest.raises(InterruptedReleaseError, match=r"interrupted; rolled back, .*shop:1 serves"):
        shop.canary("2")
    assert shop.is_whole_at("1")


def test_a_second_interruption_ends_the_rollback_and_the_next_run_ends_it(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    shop.during["analysis"] = interrupt
    cluster.fails("DELETE .*/deployments/shop-canary", first=interrupt, delay=0.1)
    with pytest.raises(InterruptedReleaseError, match="the rollback was interrupted too: run this again to end it"):
        shop.canary("2")
    shop.rolling("3")
    assert "release 2 was left in the middle" in shop.text()
    assert shop.is_whole_at("3")


def test_an_interruption_while_the_old_version_gets_ready_again_changes_nothing_any_more(
    shop: Shop, cluster: FakeCluster
) -> None:
    shop.rolling("1")

    def interrupt() -> None:
        raise KeyboardInterrupt

    cluster.behaves(f"{IMAGE}:2", unpullable=True)
    shop.during["rollback"] = lambda: shop.during.update(pods=interrupt)
    with pytest.raises(ReleaseFailedError, match=r"rolled back, interrupted while .*shop:1 got ready again"):
        shop.rolling("2")
    assert shop.is_whole_at("1")
    assert shop.records()[-1][3] == "failed"


def test_a_pipeline_killed_at_any_step_is_cleaned_up_after(shop: Shop) -> None:
    shop.rolling("1")
    shop.killed("step promote to 50 %", lambda: shop.canary("2"))
    shop.killed("released", lambda: shop.rolling("3", lock_wait=20))
    assert "release 2 was left in the middle: cleaning up after it" in shop.text()
    shop.rolling("4", lock_wait=20)
    assert shop.is_whole_at("4")
    assert [outcome for *_, outcome in shop.records()] == ["released", "interrupted", "released", "released"]


def test_only_so_many_releases_are_remembered(shop: Shop, cluster: FakeCluster) -> None:
    for version in ("1", "2", "3", "4"):
        shop.rolling(version, history_limit=2)
    assert [number for number, *_ in shop.records()] == [3, 4]
    assert len(cluster.all("Secret")) == 2
