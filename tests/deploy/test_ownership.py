"""What lmservice did not make is neither deleted nor overwritten by a release, whatever it is called."""

from typing import Any

import pytest
from cluster_api.cluster import FakeCluster
from cluster_api.shop import IMAGE, Shop, deployment, route, service

from lmservice.deploy import DeployUsageError, RefusedError, ReleaseFailedError

Object = dict[str, Any]
CLUSTER_ROLE: Object = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "shop-reader"},
    "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}],
}
PRIORITY: Object = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "shop-high"},
    "value": 1000,
}
VOLUME: Object = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "shop-data"},
    "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]},
}
CLUSTER_SCOPED = (CLUSTER_ROLE, PRIORITY, VOLUME)


def cluster_scoped(cluster: FakeCluster) -> set[str]:
    kinds = ("ClusterRole", "PriorityClass", "PersistentVolume")
    return {name for kind in kinds for name in cluster.names(kind)}


def test_a_first_release_over_what_runs_keeps_the_cluster_scoped_objects_that_it_applies(
    shop: Shop, cluster: FakeCluster
) -> None:
    shop.objects += CLUSTER_SCOPED
    shop.describe()
    for item in (*CLUSTER_SCOPED, *shop.objects[:1]):
        made = {**item, "metadata": {**item["metadata"]}}
        if item["kind"] == "Deployment":
            made["metadata"]["namespace"] = "team"
            made["spec"]["template"]["spec"]["containers"][0]["image"] = f"{IMAGE}:1"
        cluster.make(made)
    cluster.wait(cluster.serving)
    shop.rolling("2")
    assert shop.is_whole_at("2")
    assert cluster_scoped(cluster) == {"shop-reader", "shop-high", "shop-data"}


def test_nothing_that_is_not_namespaced_is_ever_deleted(shop: Shop, cluster: FakeCluster) -> None:
    shop.objects += CLUSTER_SCOPED
    shop.describe()
    cluster.behaves(f"{IMAGE}:1", crashes=True)
    with pytest.raises(ReleaseFailedError):
        shop.rolling("1")
    assert cluster.names("Service", "team") == set()
    assert cluster_scoped(cluster) == {"shop-reader", "shop-high", "shop-data"}
    shop.rolling("2")
    del shop.objects[2:]
    shop.describe()
    shop.rolling("3")
    assert cluster_scoped(cluster) == {"shop-reader", "shop-high", "shop-data"}


@pytest.mark.parametrize("strategy", ["rolling", "canary"])
def test_a_deployment_of_the_canarys_name_refuses_the_release_before_anything_is_touched(
    shop: Shop, cluster: FakeCluster, strategy: str
) -> None:
    taken = deployment("shop-canary", replicas=1)
    taken["metadata"]["namespace"] = "team"
    cluster.make(taken)
    with pytest.raises(RefusedError, match="the Deployment shop-canary in team is not lmservice's") as caught:
        getattr(shop, strategy)("1")
    assert "rename" in str(caught.value)
    assert cluster.get("Deployment", "shop-canary", "team")
    assert not cluster.get("Deployment", "shop", "team")
    assert cluster.all("Secret") == []


@pytest.mark.parametrize("name", ["shop-stable", "shop-canary"])
def test_a_service_of_a_versions_name_refuses_the_release_where_there_is_a_route(
    shop: Shop, cluster: FakeCluster, name: str
) -> None:
    taken = service(name)
    taken["metadata"]["namespace"] = "team"
    cluster.make(taken)
    shop.rolling("1")
    assert cluster.get("Service", name, "team"), "without a route no such Service is ours to delete"
    shop.objects.append(route())
    shop.describe()
    with pytest.raises(RefusedError, match=f"the Service {name} in team is not lmservice's"):
        shop.canary("2")
    assert shop.is_whole_at("1")
    assert cluster.get("Service", name, "team")


def test_an_overlay_that_takes_the_canarys_name_itself_is_a_usage_error(shop: Shop, cluster: FakeCluster) -> None:
    shop.objects.append(deployment("shop-canary"))
    shop.describe()
    with pytest.raises(DeployUsageError, match="the overlay has a Deployment shop-canary of its own"):
        shop.canary("1")
    assert cluster.names("Deployment") == set()


def test_a_name_that_is_taken_during_a_release_is_left_alone(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")
    taken = deployment("shop-canary", replicas=1)
    taken["metadata"]["namespace"] = "team"
    shop.during["plan"] = lambda: cluster.make(taken)
    with pytest.raises(ReleaseFailedError, match="shop-canary in team is not lmservice's"):
        shop.canary("2")
    assert cluster.get("Deployment", "shop-canary", "team")


def test_what_was_there_before_lmservice_stays_when_the_overlay_has_it_no_more(
    shop: Shop, cluster: FakeCluster
) -> None:
    old: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "old"}, "data": {"a": "1"}}
    cluster.make({**old, "metadata": {"name": "old", "namespace": "team"}})
    made = {**old, "metadata": {"name": "made"}}
    shop.objects += [old, made]
    shop.describe()
    shop.rolling("1")
    del shop.objects[2:]
    shop.describe()
    shop.rolling("2")
    names = cluster.names("ConfigMap", "team")
    assert ("old" in names, "made" in names) == (True, False)


def test_what_was_deleted_and_made_anew_by_hand_is_not_lmservices_any_more(shop: Shop, cluster: FakeCluster) -> None:
    extra: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extra"}, "data": {"a": "1"}}
    shop.objects.append(extra)
    shop.describe()
    shop.rolling("1")
    by_hand = {**extra, "metadata": {"name": "extra", "namespace": "team"}, "data": {"a": "2"}}
    cluster.remove(by_hand)
    cluster.make(by_hand)
    shop.objects.remove(extra)
    shop.describe()
    shop.rolling("2")
    assert "extra" in cluster.names("ConfigMap", "team")
