"""What goes wrong on the way: refusals, lost answers, an API server that is away; each ends as it should."""

import threading
import time

import pytest
from cluster_api.cluster import FakeCluster
from cluster_api.shop import IMAGE, Shop, route

from lmservice.deploy import ReleaseFailedError


@pytest.fixture
def routed(shop: Shop) -> Shop:
    """Version 1, released behind a route."""
    shop.objects.append(route())
    shop.describe()
    shop.rolling("1")
    return shop


def backends(cluster: FakeCluster) -> list[tuple[str, int]]:
    (live,) = cluster.all("HTTPRoute")
    return [(backend["name"], backend.get("weight", 1)) for backend in live["spec"]["rules"][0]["backendRefs"]]


def is_as_before(shop: Shop, cluster: FakeCluster, version: str) -> bool:
    """Whether one version serves alone, and neither the route nor the Services tell of a canary."""
    whole = shop.is_whole_at(version)
    return whole and cluster.names("Service") == {"shop"} and backends(cluster) == [("shop", 1)]


def test_every_answer_to_a_write_may_be_lost_once(routed: Shop, cluster: FakeCluster) -> None:
    for verb in ("PATCH", "PUT", "DELETE", "POST"):
        for number in range(6):
            cluster.fails(f"^{verb} ", loses="after", skip=number * 2)
    routed.canary("2", lock_wait=5)
    assert is_as_before(routed, cluster, "2")


@pytest.mark.parametrize("status", [409, 429, 500, 503])
def test_a_write_of_a_route_that_is_refused_for_a_moment_is_tried_again(
    routed: Shop, cluster: FakeCluster, status: int
) -> None:
    fault = cluster.fails("^PUT .*/httproutes/shop", status=status, times=2)
    routed.canary("2")
    assert fault.times == 0
    assert is_as_before(routed, cluster, "2")


def test_a_route_that_somebody_keeps_changing_ends_the_release(routed: Shop, cluster: FakeCluster) -> None:
    cluster.fails("^PUT .*/httproutes/shop", status=409, times=5)
    with pytest.raises(ReleaseFailedError, match="somebody else keeps changing the HTTPRoute shop"):
        routed.canary("2")
    assert is_as_before(routed, cluster, "1")


def test_a_gateway_that_does_not_take_the_weights_ends_the_release(routed: Shop, cluster: FakeCluster) -> None:
    cluster.script.refuses_weights = "no such port"
    with pytest.raises(ReleaseFailedError, match="web does not take the HTTPRoute shop with weights: no such port"):
        routed.canary("2", route_settle=0.2)
    assert is_as_before(routed, cluster, "1")


def test_weights_begin_with_the_release_after_the_routes_first(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")
    shop.objects.append(route())
    shop.describe()
    shop.canary("2")
    assert "the pods that serve have no label lmservice.dev/track yet" in shop.text()
    assert shop.said("weight") == []
    shop.canary("3")
    assert [event["percent"] for event in shop.said("weight")] == [10, 50]
    assert is_as_before(shop, cluster, "3")


def test_services_that_do_not_follow_their_pods_end_the_release(routed: Shop, cluster: FakeCluster) -> None:
    cluster.fails("^GET .*/endpointslices", status=403, message="forbidden: endpointslices", times=None)
    with pytest.raises(ReleaseFailedError, match="forbidden: endpointslices"):
        routed.canary("2")
    cluster.script.faults.clear()
    assert is_as_before(routed, cluster, "1")


def test_a_quota_that_has_no_room_for_the_canary_is_named(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")
    cluster.store.quota["team"] = 2
    with pytest.raises(ReleaseFailedError, match="the cluster refuses its pods: exceeded quota: full"):
        shop.canary("2")
    assert shop.is_whole_at("1")


def test_a_version_that_never_gets_ready_is_taken_back(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")
    cluster.behaves(f"{IMAGE}:2", ready_after=None)
    with pytest.raises(ReleaseFailedError, match=r"0 of 1 pods ready after 1 s \(LM_DEPLOY_READY_TIMEOUT\); pod shop-"):
        shop.canary("2", ready_timeout=1)
    assert shop.is_whole_at("1")


def test_a_rollout_past_its_own_deadline_or_paused_says_so(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")
    cluster.behaves(f"{IMAGE}:2", ready_after=None)
    shop.objects[0]["spec"]["progressDeadlineSeconds"] = 1
    shop.describe()
    with pytest.raises(ReleaseFailedError, match=r"it made no progress: ReplicaSet .* has timed out progressing"):
        shop.rolling("2", ready_timeout=20)
    assert shop.is_whole_at("1")
    (deployment,) = cluster.all("Deployment")
    cluster.change(deployment, lambda item: item["spec"].update(paused=True))
    with pytest.raises(ReleaseFailedError, match="its rollout is paused: kubectl rollout resume goes on with it"):
        shop.rolling("3")


def test_a_deployment_that_is_deleted_meanwhile_is_named(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")

    def delete() -> None:
        canary = cluster.get("Deployment", "shop-canary")
        assert canary
        cluster.remove(canary)

    shop.during["analysis"] = delete
    with pytest.raises(ReleaseFailedError, match="the Deployment shop-canary was deleted meanwhile"):
        shop.canary("2")
    assert shop.is_whole_at("1")


def test_an_api_server_that_is_away_for_too_long_ends_in_a_rollback_as_soon_as_it_is_back(
    shop: Shop, cluster: FakeCluster
) -> None:
    shop.rolling("1")

    def go_away() -> None:
        cluster.fails(".*", loses="before", times=None)
        threading.Timer(4, cluster.script.faults.clear).start()

    shop.during["analysis"] = go_away
    with pytest.raises(ReleaseFailedError, match=r"server has not answered for 1 s .*; rolled back, .*1 serves"):
        shop.canary("2", api_patience=1, rollback_patience=20, lease_duration=60)
    assert shop.is_whole_at("1")


def test_a_rollback_that_cannot_end_says_both_reasons_and_the_next_run_ends_it(
    shop: Shop, cluster: FakeCluster
) -> None:
    shop.rolling("1")
    cluster.behaves(f"{IMAGE}:2", unpullable=True)
    fault = cluster.fails("^DELETE .*/shop-canary", status=403, message="you may not delete deployments", times=None)
    with pytest.raises(ReleaseFailedError, match=r"cannot be pulled.*; rolling back did not end .*you may not delete"):
        shop.canary("2")
    cluster.script.faults.remove(fault)
    shop.rolling("3")
    assert shop.is_whole_at("3")


def test_figures_that_may_not_be_read_are_no_success(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")
    cluster.fails("/proxy/metrics", status=403, message='cannot get resource "pods/proxy"', times=None)
    with pytest.raises(ReleaseFailedError, match=r'no pod tells its figures through the API server: .*"pods/proxy"'):
        shop.canary("2")
    assert shop.is_whole_at("1")


def test_a_slower_version_is_taken_back(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")
    cluster.behaves(f"{IMAGE}:2", latency=0.4)
    with pytest.raises(ReleaseFailedError, match=r"the canary's p99 was 0.49"):
        shop.canary("2")
    assert shop.is_whole_at("1")


def test_a_service_with_streams_is_released_and_a_slower_one_of_them_taken_back(
    shop: Shop, cluster: FakeCluster
) -> None:
    for version, latency in (("1", 0.004), ("2", 0.004), ("3", 0.4)):
        cluster.behaves(f"{IMAGE}:{version}", streams=200, latency=latency)
    shop.rolling("1")
    shop.canary("2")
    assert shop.is_whole_at("2")
    with pytest.raises(ReleaseFailedError, match=r"the canary's p99 was 0\.49.* at GET /;"):
        shop.canary("3")
    assert shop.is_whole_at("2")


def test_a_version_that_crashes_while_it_is_compared_is_taken_back(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")
    shop.during["analysis"] = lambda: cluster.behaves(f"{IMAGE}:2", crashes=True)
    with pytest.raises(ReleaseFailedError, match="restarted 3 times"):
        shop.canary("2", analysis_duration=3)
    assert shop.is_whole_at("1")


def test_a_release_takes_no_longer_than_its_steps(shop: Shop) -> None:
    shop.rolling("1")
    began = time.monotonic()
    shop.canary("2")
    assert time.monotonic() - began < 15
