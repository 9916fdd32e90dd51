"""A stable version that is ill, controllers that are late: neither keeps a good version from being released."""

import time

import pytest
from cluster_api.cluster import FakeCluster
from cluster_api.script import Behaviour
from cluster_api.shop import IMAGE, Shop, autoscaler

from lmservice.deploy import ReleaseFailedError


def falls_ill(shop: Shop, cluster: FakeCluster, **behaviour: object) -> None:
    """Let the version that serves go wrong, as one does hours after its release."""
    cluster.script.images[f"{IMAGE}:1"] = Behaviour(**behaviour)  # type: ignore[arg-type]
    cluster.wait(lambda: not cluster.serving())
    assert shop.records()[-1][3] == "released"


@pytest.mark.parametrize("strategy", ["canary", "rolling"])
@pytest.mark.parametrize("illness", [{"crashes": True}, {"ready_after": None}], ids=["crashes", "never ready"])
def test_a_release_over_a_version_that_does_not_serve_goes_through_in_one_command(
    shop: Shop, cluster: FakeCluster, illness: dict[str, object], strategy: str
) -> None:
    shop.rolling("1")
    falls_ill(shop, cluster, **illness)
    getattr(shop, strategy)("2")
    assert shop.is_whole_at("2")
    if strategy == "canary":
        (note,) = [event["text"] for event in shop.said("note")]
        assert note.startswith("registry.intra/shop:1 does not serve (")
        assert note.endswith("): there is nothing to compare with, the canary is left out")


def test_a_failure_over_an_ill_version_ends_at_once_and_says_that_it_is_ill(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")
    falls_ill(shop, cluster, crashes=True)
    cluster.behaves(f"{IMAGE}:2", unpullable=True)
    began = time.monotonic()
    with pytest.raises(ReleaseFailedError) as caught:
        shop.rolling("2", ready_timeout=60)
    assert time.monotonic() - began < 10
    message = str(caught.value)
    assert "its image cannot be pulled" in message
    assert "rolled back, but registry.intra/shop:1 does not serve whole: 0 of 2 pods ready; pod shop-" in message
    assert [outcome for *_, outcome in shop.records()] == ["released", "failed"]
    cluster.behaves(f"{IMAGE}:3")
    shop.canary("3")
    assert shop.is_whole_at("3")


def test_one_pod_that_does_not_fit_is_reported_and_not_waited_for(shop: Shop, cluster: FakeCluster) -> None:
    shop.objects.append(autoscaler(3))
    del shop.objects[0]["spec"]["replicas"]
    shop.describe()
    shop.rolling("1")
    assert shop.is_whole_at("1", 3)
    cluster.script.capacity = 3
    scaler = cluster.get("HorizontalPodAutoscaler", "shop", "team")
    assert scaler
    cluster.change(scaler, lambda item: item["spec"].update(minReplicas=4))
    cluster.wait(lambda: len(cluster.all("Pod")) == 4)
    began = time.monotonic()
    with pytest.raises(ReleaseFailedError) as caught:
        shop.canary("2", ready_timeout=1)
    assert time.monotonic() - began < 10
    assert "registry.intra/shop:1 does not serve whole: 3 of 4 pods ready" in str(caught.value)
    assert "not scheduled: 0/1 nodes are available" in str(caught.value)
    assert shop.records()[-1][3] == "failed"


def test_going_back_from_an_ill_version_works(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")
    shop.rolling("2")
    cluster.behaves(f"{IMAGE}:2", crashes=True)
    cluster.wait(lambda: not cluster.serving())
    shop.rollback()
    assert shop.is_whole_at("1")


def test_after_a_killed_pipeline_an_ill_version_does_not_block_the_next_release(
    shop: Shop, cluster: FakeCluster
) -> None:
    shop.rolling("1")
    falls_ill(shop, cluster, crashes=True)
    cluster.behaves(f"{IMAGE}:2", ready_after=None)
    shop.killed("step promote to 100 %", lambda: shop.rolling("2"))
    cluster.behaves(f"{IMAGE}:3")
    shop.canary("3", lock_wait=10, ready_timeout=3)
    assert shop.is_whole_at("3")
    assert [outcome for *_, outcome in shop.records()] == ["released", "interrupted", "released"]


@pytest.mark.parametrize("strategy", ["canary", "rolling"])
def test_only_pods_of_the_template_that_was_just_applied_are_judged(
    shop: Shop, cluster: FakeCluster, strategy: str
) -> None:
    shop.rolling("1")
    falls_ill(shop, cluster, crashes=True)
    cluster.script.controller_lag = 1.0
    getattr(shop, strategy)("2")
    assert shop.is_whole_at("2")


def test_a_version_that_lost_its_pods_one_by_one_is_still_compared(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")
    cluster.script.capacity = 1
    pods = cluster.all("Pod")
    cluster.remove(pods[0])
    cluster.wait(lambda: sum(cluster.serving().values()) == 1)
    cluster.script.capacity = None
    shop.canary("2")
    assert shop.said("analysis")
    assert shop.is_whole_at("2")


def test_a_version_that_has_restarted_once_is_waited_for_on_the_way_back(shop: Shop, cluster: FakeCluster) -> None:
    shop.objects[0]["spec"]["strategy"] = {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    shop.describe()
    cluster.behaves(f"{IMAGE}:1", ready_after=0.5)
    shop.rolling("1")
    cluster.behaves(f"{IMAGE}:1", ready_after=0.5, restarts=1)
    cluster.behaves(f"{IMAGE}:2", crashes=True)
    with pytest.raises(ReleaseFailedError, match=r"rolled back, registry\.intra/shop:1 serves"):
        shop.rolling("2")
    assert shop.is_whole_at("1")


def test_what_will_be_taken_over_is_said_before_the_first_step(shop: Shop) -> None:
    shop.runs_by_hand("1", OLD="1")
    shop.canary("2")
    names = [name for name, _ in shop.events]
    assert "takes over Deployment shop" in shop.said("note")[0]["text"]
    assert names.index("note") < names.index("step")
    assert shop.is_whole_at("2")
