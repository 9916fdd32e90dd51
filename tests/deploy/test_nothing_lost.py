"""Whatever happens in whatever order: nothing that lmservice did not make is ever deleted."""

import contextlib
import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cluster_api.cluster import FakeCluster
from cluster_api.kinds import resource_of
from cluster_api.shop import IMAGE, Shop, deployment, route, service
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from lmservice.deploy import DeployUsageError, ReleaseError

Object = dict[str, Any]


def config(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}}


def cluster_wide(kind: str, version: str, name: str) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}}


CLAIM: Object = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"]},
}
OPTIONAL = (
    config("extra"),
    service("extra"),
    route(),
    CLAIM,
    cluster_wide("ClusterRole", "rbac.authorization.k8s.io/v1", "reader"),
    cluster_wide("PriorityClass", "scheduling.k8s.io/v1", "high"),
)
"""What an overlay may have or not, from one release to the next."""
BY_HAND = (
    deployment(),
    service(),
    deployment("shop-canary", replicas=1),
    service("shop-canary"),
    service("shop-stable"),
    config("shop-config"),
    *OPTIONAL,
)
"""What somebody may make or delete by hand, at any time."""
STEPS = st.one_of(
    st.tuples(
        st.sampled_from(["canary", "rolling"]), st.sampled_from(["good", "bad"]), st.sets(st.integers(0, 5), max_size=3)
    ),
    st.tuples(st.just("killed"), st.sampled_from(["plan", "step promote to 100 %"]), st.just(set[int]())),
    st.tuples(st.just("rollback"), st.just(""), st.just(set[int]())),
    st.tuples(st.just("make"), st.just(""), st.sets(st.integers(0, len(BY_HAND) - 1), min_size=1, max_size=2)),
    st.tuples(st.just("remove"), st.just(""), st.sets(st.integers(0, len(BY_HAND) - 1), min_size=1, max_size=2)),
)


class World:
    """A cluster, a service on it, and what somebody has made there by hand."""

    def __init__(self, cluster: FakeCluster, folder: Path) -> None:
        self.cluster, self.shop, self.version = cluster, Shop(cluster, folder), 0
        self.shop.settings |= {
            "analysis_duration": 0.1,
            "analysis_interval": 0.05,
            "stages": (100,),
            "ready_timeout": 1,
        }
        self.made: dict[str, Object] = {}

    def take(self, step: tuple[str, str, set[int]]) -> None:
        """Take one step; how a release ends does not matter here."""
        name, how, chosen = step
        if name in {"make", "remove"}:
            for number in chosen:
                getattr(self, name)(copy.deepcopy(BY_HAND[number]))
            return
        self.shop.objects[2:] = [OPTIONAL[number] for number in chosen]
        self.shop.describe(LM_RELEASE=str(self.version))
        self.version += 1
        self.cluster.behaves(f"{IMAGE}:{self.version}", unpullable=how == "bad", requests=100_000)
        with contextlib.suppress(ReleaseError, DeployUsageError, AssertionError):
            if name == "killed":
                self.shop.killed(how, lambda: self.shop.rolling(str(self.version)))
            elif name == "rollback":
                self.shop.rollback()
            else:
                getattr(self.shop, name)(str(self.version))
        self.cluster.script.faults.clear()
        self.shop.during.clear()
        for lease in self.cluster.all("Lease"):  # of a pipeline that was killed, long ago
            self.cluster.change(lease, lambda item: item["spec"].update(holderIdentity=""))

    def make(self, item: Object) -> None:
        """Make an object by hand, unless it is there."""
        item["metadata"] |= {"namespace": "team"} if resource_of(item).namespaced else {}
        if self.cluster.get(item["kind"], item["metadata"]["name"]) is None:
            made = self.cluster.make(item)
            self.made[made["metadata"]["uid"]] = made

    def remove(self, item: Object) -> None:
        """Delete an object by hand, whoever made it."""
        live = self.cluster.get(item["kind"], item["metadata"]["name"])
        if live:
            self.cluster.remove(live)
            self.made.pop(live["metadata"]["uid"], None)

    def lost(self) -> list[str]:
        """Name what was made by hand and is not there any more."""
        there = {live["metadata"]["uid"] for kind in {o["kind"] for o in BY_HAND} for live in self.cluster.all(kind)}
        return [f"{live['kind']} {live['metadata']['name']}" for uid, live in self.made.items() if uid not in there]


@settings(max_examples=8, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(steps=st.lists(STEPS, min_size=2, max_size=6))
@example(steps=[("make", "", {6, 10}), ("rolling", "good", {0, 4}), ("rolling", "good", set())])
@example(steps=[("make", "", {0, 2}), ("canary", "good", set()), ("canary", "bad", set())])
@example(steps=[("rolling", "good", {0}), ("remove", "", {6}), ("make", "", {6}), ("rolling", "good", set())])
@example(steps=[("rolling", "good", {2}), ("make", "", {3, 4}), ("canary", "good", {2}), ("rollback", "", set())])
def test_nothing_that_lmservice_did_not_make_is_ever_deleted(steps: list[tuple[str, str, set[int]]]) -> None:
    with (
        pytest.MonkeyPatch.context() as patch,
        TemporaryDirectory() as folder,
        FakeCluster().running() as cluster,
    ):
        for name in ("release._TURN", "rollout._CALM", "weights._LOOK", "lock._LOOK"):
            patch.setattr(f"lmservice.deploy.{name}", 0.02)
        cluster.make_namespace("team")
        patch.setenv("KUBECONFIG", str(cluster.write_kubeconfig(Path(folder) / "kubeconfig", "team")))
        world = World(cluster, Path(folder))
        for step in steps:
            world.take(step)
            assert world.lost() == []
