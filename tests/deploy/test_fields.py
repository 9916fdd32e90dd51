"""Fields of other field managers: what survives server-side apply is named, or taken over as kubectl does."""

from typing import Any

import pytest
from cluster_api.cluster import FakeCluster
from cluster_api.shop import IMAGE, Shop

Object = dict[str, Any]


def containers(cluster: FakeCluster) -> dict[str, Object]:
    (deployment,) = cluster.all("Deployment")
    return {container["name"]: container for container in deployment["spec"]["template"]["spec"]["containers"]}


def env(cluster: FakeCluster) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in containers(cluster)["shop"].get("env", [])}


def with_more(shop: Shop) -> Object:
    """The overlay's Deployment as somebody applied it before, with an env, a probe and a container that it lacks."""
    item: Object = {**shop.objects[0], "metadata": {"name": "shop", "namespace": "team"}}
    (own,) = item["spec"]["template"]["spec"]["containers"]
    more = {"env": [{"name": "OLD", "value": "1"}], "livenessProbe": {"httpGet": {"path": "/old", "port": 1}}}
    proxy = {"name": "proxy", "image": "proxy:1"}
    template = {**item["spec"]["template"], "spec": {"containers": [{**own, "image": f"{IMAGE}:1", **more}, proxy]}}
    return {**item, "spec": {**item["spec"], "template": template}}


@pytest.mark.parametrize("manager", ["kubectl-client-side-apply", "kubectl-create", "kubectl"])
def test_what_kubectl_applied_before_is_taken_over_at_the_first_release(
    shop: Shop, cluster: FakeCluster, manager: str
) -> None:
    item = with_more(shop)
    if manager == "kubectl":
        cluster.apply(item, manager)
    else:
        cluster.make(item, manager)
    cluster.wait(lambda: sum(cluster.serving().values()) == 2)
    shop.rolling("2")
    assert set(containers(cluster)) == {"shop"}
    assert env(cluster) == {}
    assert "livenessProbe" not in containers(cluster)["shop"]
    note = next(event["text"] for event in shop.said("note") if "takes over" in event["text"])
    assert "Deployment shop" in note
    for field in ("container proxy", "env OLD", "livenessProbe"):
        assert field in note


def test_what_somebody_else_keeps_is_named_field_by_field_and_left(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")
    (deployment,) = cluster.all("Deployment")

    def inject(item: Object) -> None:
        item["spec"]["template"]["spec"]["containers"].append({"name": "proxy", "image": "proxy:1"})
        item["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "DEBUG", "value": "1"}]

    cluster.change(deployment, inject, "istio-injector")
    cluster.wait(lambda: sum(cluster.serving().values()) == 2)
    planned = shop.prospect("2")
    (kept,) = [entry for entry in planned.changes if entry.kind == "Deployment"]
    others = {(entry.field, entry.manager) for entry in kept.fields if entry.manager}
    assert ("container proxy", "istio-injector") in others
    assert any("env DEBUG" in field for field, _ in others)
    shop.rolling("2")
    assert set(containers(cluster)) == {"shop", "proxy"}
    notes = "\n".join(entry["text"] for entry in shop.said("note"))
    assert "Deployment shop keeps what is not in the overlay" in notes
    assert "container proxy (istio-injector)" in notes


def test_a_failure_of_the_first_release_brings_back_what_was_taken_over(shop: Shop, cluster: FakeCluster) -> None:
    cluster.make(with_more(shop), "kubectl-client-side-apply")
    cluster.wait(lambda: sum(cluster.serving().values()) == 2)
    cluster.behaves(f"{IMAGE}:2", crashes=True)
    with pytest.raises(SystemExit):
        shop.rolling("2")
    assert set(containers(cluster)) == {"shop", "proxy"}
    assert env(cluster) == {"OLD": "1"}


def test_what_controllers_and_autoscalers_own_is_nobodys_surprise(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")
    shop.rolling("2")
    assert "keeps what is not in the overlay" not in shop.text()
    assert "takes over" not in shop.text()
    assert cluster.serving() == {f"{IMAGE}:2": 2}
