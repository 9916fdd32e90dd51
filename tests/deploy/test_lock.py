"""The lock: one pipeline a Deployment, whoever asks, and no change without it."""

import threading
from typing import Any

import pytest
from cluster_api.cluster import FakeCluster
from cluster_api.shop import IMAGE, Shop

from lmservice.deploy import LockLostError, RefusedError, ReleaseFailedError


def lease(cluster: FakeCluster) -> dict[str, Any]:
    (held,) = cluster.all("Lease")
    return held


def stolen(cluster: FakeCluster) -> None:
    """Let another pipeline have taken the lock over."""
    spec = {"holderIdentity": "somebody else", "leaseDurationSeconds": 60}
    cluster.change(lease(cluster), lambda item: item["spec"].update(spec))


def lose_answer(cluster: FakeCluster) -> None:
    cluster.fails("PUT .*/leases", loses="after")


def test_two_environments_in_one_namespace_do_not_release_one_deployment_at_once(
    shop: Shop, cluster: FakeCluster
) -> None:
    shop.rolling("1")
    shop.describe("staging")
    other: list[str] = []

    def release_elsewhere() -> None:
        twin = Shop(cluster, shop.folder.parent)
        twin.describe("staging")
        with pytest.raises(RefusedError) as caught:
            twin.rolling("3", "staging", lock_wait=0.1)
        other.append(str(caught.value))

    def meanwhile() -> None:
        thread = threading.Thread(target=release_elsewhere)
        thread.start()
        thread.join()

    shop.during["analysis"] = meanwhile
    shop.canary("2")
    assert "another pipeline is releasing" in other[0]


def test_services_and_environments_whose_names_run_together_share_neither_lock_nor_records(
    cluster: FakeCluster, tmp_path: Any
) -> None:
    one, two = Shop(cluster, tmp_path / "1", "a"), Shop(cluster, tmp_path / "2", "a-b")
    one.describe("b-c")
    two.describe("c")
    one.rolling("1", "b-c")
    two.rolling("2", "c")
    assert len(cluster.all("Lease")) == 2
    assert [len(service.status(environment).records) for service, environment in ((one, "b-c"), (two, "c"))] == [1, 1]


@pytest.mark.parametrize("verb", ["POST", "PUT"])
def test_a_lock_does_not_wait_for_itself_after_a_lost_answer(shop: Shop, cluster: FakeCluster, verb: str) -> None:
    if verb == "PUT":
        shop.rolling("1")
    fault = cluster.fails(f"{verb} .*/leases", loses="after")
    shop.rolling("2", lock_wait=0.5)
    assert fault.times == 0
    assert shop.is_whole_at("2")
    assert "waiting for the lock" not in shop.text()


def test_a_renewal_whose_answer_is_lost_does_not_end_the_release(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")
    shop.during["step analysis for 3 s"] = lambda: lose_answer(cluster)
    shop.canary("2", analysis_duration=3, stages=(100,))
    assert shop.is_whole_at("2")


@pytest.mark.parametrize("moment", ["analysis", "rollback"])
def test_a_pipeline_that_has_lost_its_lock_changes_nothing_any_more(
    shop: Shop, cluster: FakeCluster, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.rolling("1")
    cluster.behaves(f"{IMAGE}:2", error_ratio=0.5)
    writes: list[int] = []

    def lose() -> None:
        """The lock is taken over, and the pipeline was stopped for longer than its lease lasts."""
        stolen(cluster)
        writes.append(len(cluster.server.calls))
        monkeypatch.setattr("lmservice.deploy.lock.now", lambda: 1e9)

    shop.during[moment] = lose
    with pytest.raises(LockLostError, match="somebody else has taken over the lock"):
        shop.canary("2")
    after = [str(call) for call in cluster.server.calls[writes[0] :] if call.writes]
    assert after == []
    assert "shop-canary" in cluster.names("Deployment")


def test_the_holder_and_the_time_are_named_where_one_waits_in_vain(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")
    stolen(cluster)
    with pytest.raises(RefusedError, match="somebody else holds the lock, since 20"):
        shop.rolling("2", lock_wait=0.1)
    (note,) = shop.said("note")
    assert note["text"] == "waiting for the lock, which somebody else holds"
    assert shop.is_whole_at("1")


def test_a_lock_that_is_not_renewed_any_more_is_taken_over(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")
    cluster.change(lease(cluster), lambda item: item["spec"].update(holderIdentity="dead", leaseDurationSeconds=1))
    shop.rolling("2", lock_wait=10)
    assert shop.is_whole_at("2")
    assert not lease(cluster)["spec"]["holderIdentity"]


def test_a_lock_that_may_not_be_taken_says_why(shop: Shop, cluster: FakeCluster) -> None:
    cluster.fails("POST .*/leases", status=403, message='cannot create resource "leases"')
    with pytest.raises(ReleaseFailedError, match='cannot create resource "leases"'):
        shop.rolling("1")
    assert cluster.names("Deployment") == set()


def test_a_release_renews_its_lock_and_lets_go_in_the_end(shop: Shop, cluster: FakeCluster) -> None:
    shop.rolling("1")
    before = len(cluster.server.calls)
    shop.canary("2", analysis_duration=4, stages=(100,))
    renewals = [call for call in cluster.server.calls[before:] if call.method == "PUT" and "leases" in call.path]
    assert len(renewals) > 2
    assert lease(cluster)["spec"]["holderIdentity"] == ""
