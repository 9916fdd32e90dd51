"""Releases on the fake cluster, whole: what serves before, meanwhile and after."""

import pytest
from cluster_api.cluster import FakeCluster
from cluster_api.shop import IMAGE, Shop, route

from lmservice.deploy import ReleaseFailedError


def test_a_first_release_is_made_whole_at_once(shop: Shop) -> None:
    record = shop.canary("1")
    assert (record.number, record.outcome, record.strategy) == (1, "released", "canary")
    assert shop.is_whole_at("1")


def test_a_canary_that_is_no_worse_becomes_the_stable_version(shop: Shop) -> None:
    shop.rolling("1")
    record = shop.canary("2")
    assert record.digest.startswith("sha256:")
    assert shop.is_whole_at("2")
    assert [event["step"] for event in shop.said("step")] == [
        "canary of 1 pod",
        "analysis for 0.5 s",
        "promote to 50 %",
        "analysis for 0.5 s",
        "promote to 100 %",
    ]


def test_a_canary_with_errors_is_taken_back(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")
    cluster.behaves(f"{IMAGE}:2", error_ratio=0.2)
    with pytest.raises(ReleaseFailedError, match="were errors"):
        shop.canary("2")
    assert shop.is_whole_at("1")
    assert shop.records()[-1] == (2, "2", "canary", "failed")


def test_a_route_gives_the_canary_its_weight(shop: Shop, cluster: FakeCluster) -> None:
    shop.objects.append(route())
    shop.describe()
    shop.rolling("1")
    shop.canary("2")
    assert [event["percent"] for event in shop.said("weight")] == [10, 50]
    assert shop.is_whole_at("2")
    assert cluster.names("Service") == {"shop"}
