"""What may be released where, and what is refused before anything is touched."""

from typing import Any

import pytest
from cluster_api.cluster import FakeCluster
from cluster_api.shop import IMAGE, Shop

from lmservice.deploy import DeployUsageError, RefusedError, ReleaseFailedError
from lmservice.deploy.settings import load

ORDER: dict[str, Any] = {"required_before": {"production": ("qa", "preview")}}


@pytest.fixture
def everywhere(shop: Shop, cluster: FakeCluster) -> Shop:
    """The service in qa, preview and production, each in a namespace of its own."""
    for environment in ("qa", "preview", "production"):
        cluster.make_namespace(f"team-{environment}")
        shop.describe(environment, namespace=f"team-{environment}")
    return shop


def test_production_takes_only_what_has_passed_before_unless_forced(everywhere: Shop) -> None:
    everywhere.rolling("1", "qa", **ORDER)
    with pytest.raises(RefusedError, match="production takes only what has passed preview"):
        everywhere.rolling("1", "production", **ORDER)
    everywhere.rolling("1", "production", force=True, **ORDER)
    everywhere.rolling("2", "qa", **ORDER)
    everywhere.rolling("2", "preview", **ORDER)
    everywhere.rolling("2", "production", **ORDER)


def test_what_was_rolled_back_before_is_refused(everywhere: Shop) -> None:
    for version in ("1", "2"):
        everywhere.rolling(version, "qa", **ORDER)
        everywhere.rolling(version, "preview", **ORDER)
    everywhere.rollback("preview")
    with pytest.raises(RefusedError, match="was rolled back in preview, by release 3"):
        everywhere.rolling("2", "production", **ORDER)


def test_different_digests_of_one_tag_are_refused_and_both_are_named(everywhere: Shop, cluster: FakeCluster) -> None:
    for number, environment in enumerate(("qa", "preview"), 1):
        cluster.behaves(f"{IMAGE}:1", digest=f"sha256:{number}" + "0" * 63)
        everywhere.rolling("1", environment, **ORDER)
    with pytest.raises(RefusedError) as caught:
        everywhere.rolling("1", "production", **ORDER)
    message = str(caught.value)
    assert f"{IMAGE}:1 is not one image" in message
    assert f"sha256:1{'0' * 63} in qa" in message
    assert f"sha256:2{'0' * 63} in preview" in message
    assert not cluster.names("Deployment", "team-production")


def test_another_image_behind_the_same_tag_than_passed_before_is_taken_back(
    everywhere: Shop, cluster: FakeCluster
) -> None:
    for environment in ("qa", "preview"):
        everywhere.rolling("1", environment, **ORDER)
    cluster.behaves(f"{IMAGE}:1", digest="sha256:" + "f" * 64)
    with pytest.raises(ReleaseFailedError, match="is another image"):
        everywhere.rolling("1", "production", **ORDER)


def test_an_object_that_the_api_server_refuses_ends_it_before_anything_is_touched(
    shop: Shop, cluster: FakeCluster
) -> None:
    shop.objects[0]["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    shop.describe()
    with pytest.raises(ReleaseFailedError, match="`selector` does not match template `labels`"):
        shop.rolling("1")
    assert [str(call) for call in cluster.server.calls if call.writes] == []


def test_a_refused_release_makes_no_namespace(shop: Shop, cluster: FakeCluster) -> None:
    shop.objects.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "later"}})
    shop.describe(namespace="later")
    shop.describe("production", namespace="later")
    with pytest.raises(RefusedError, match="production takes only what has passed qa"):
        shop.rolling("1", "production", **ORDER)
    assert "later" not in cluster.names("Namespace")
    bad = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "Not_A_Name"}}
    shop.objects.append(bad)
    shop.describe(namespace="later")
    with pytest.raises(ReleaseFailedError, match="Not_A_Name"):
        shop.rolling("1")
    assert "later" not in cluster.names("Namespace")
    shop.objects.remove(bad)
    shop.namespace = "later"
    shop.describe()
    shop.rolling("1")
    assert shop.is_whole_at("1")


def test_a_namespace_that_nobody_makes_is_named(shop: Shop) -> None:
    shop.describe(namespace="nowhere")
    with pytest.raises(ReleaseFailedError, match='namespaces "nowhere" not found'):
        shop.rolling("1")


def test_stages_that_are_none_are_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LM_DEPLOY_STAGES", "[]")
    with pytest.raises(DeployUsageError, match="LM_DEPLOY_STAGES"):
        load()


def test_a_release_without_an_artifact_or_manifests_is_a_usage_error(shop: Shop) -> None:
    from lmservice.deploy import DeployRequest, rolling  # noqa: PLC0415 - beside what it is about

    with pytest.raises(DeployUsageError, match="give it with_artifact"):
        rolling(shop.request(), "qa", observer=shop)
    with pytest.raises(DeployUsageError, match="give it from_git_repo or from_folder"):
        rolling(DeployRequest("shop").with_artifact(IMAGE, "1"), "qa", observer=shop)
    with pytest.raises(DeployUsageError, match="cannot name an environment"):
        shop.rolling("1", "QA")


def test_what_was_undone_by_hand_before_is_refused(everywhere: Shop, cluster: FakeCluster) -> None:
    for version in ("1", "2"):
        everywhere.rolling(version, "qa", **ORDER)
        everywhere.rolling(version, "preview", **ORDER)
    deployment = cluster.get("Deployment", "shop", "team-qa")
    assert deployment

    def undo(item: dict[str, Any]) -> None:
        item["spec"]["template"]["spec"]["containers"][0]["image"] = f"{IMAGE}:1"

    cluster.change(deployment, undo, "kubectl-rollout")
    cluster.wait(lambda: cluster.serving("team-qa") == {f"{IMAGE}:1": 2})
    cluster.behaves(f"{IMAGE}:3", unpullable=True)
    with pytest.raises(ReleaseFailedError):
        everywhere.rolling("3", "qa", **ORDER)
    with pytest.raises(RefusedError, match="2 was rolled back in qa, by hand, to release 1"):
        everywhere.rolling("2", "production", **ORDER)
