"""A cluster of its own for each test that wants one, and a service to release there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_api.cluster import FakeCluster
from cluster_api.shop import Shop


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """A cluster that KUBECONFIG names, with the namespace `team`."""
    with FakeCluster().running() as made:
        made.make_namespace("team")
        for name in ("release._TURN", "rollout._CALM", "weights._LOOK", "lock._LOOK"):
            monkeypatch.setattr(f"lmservice.deploy.{name}", 0.05)
        monkeypatch.setenv("KUBECONFIG", str(made.write_kubeconfig(tmp_path / "kubeconfig", "team")))
        yield made


@pytest.fixture
def shop(cluster: FakeCluster, tmp_path: Path) -> Shop:
    """A service of two pods, not released yet."""
    return Shop(cluster, tmp_path)
