"""A service of its own in a namespace of its own for each test, on the cluster that KUBECONFIG names.

`.ci/run` brings a cluster up and runs these tests inside its network namespace. On any other cluster:
`KUBECONFIG`, `LMSERVICE_TEST_IMAGE` (the image of `tests/kubernetes/trial`, without its tag, at the tags 1 to 5), and
`LMSERVICE_TEST_INGRESS` (port of an ingress on this machine's loopback). `LMSERVICE_TEST_HOST`, the address of this
machine as a node of the cluster, adds clients of Services; the search service's own release, whose database is on this
machine, needs it, and `LMSERVICE_TEST_SEARCH_IMAGE`, at the same tags.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from trial_service import TrialService

KUBECONFIG = os.environ.get("KUBECONFIG", "")
IMAGE = os.environ.get("LMSERVICE_TEST_IMAGE", "")
INGRESS = os.environ.get("LMSERVICE_TEST_INGRESS", "")
ABSENT = [
    *(name for name in ("KUBECONFIG", "LMSERVICE_TEST_IMAGE", "LMSERVICE_TEST_INGRESS") if not os.environ.get(name)),
    *(program for program in ("kubectl", "git") if not shutil.which(program)),
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.kubernetes)
            item.add_marker(pytest.mark.timeout(300))
            if ABSENT:
                item.add_marker(pytest.mark.skip(reason=f"no cluster to test on: {', '.join(ABSENT)} missing"))


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[TrialService]:
    """A service at version 1, whole, in an environment that goes with the test."""
    name = f"trial-{secrets.token_hex(3)}"
    service = TrialService(name, tmp_path, image=IMAGE, port=int(INGRESS), python=sys.executable)
    service.kubectl("create", "namespace", name)
    try:
        yield service
    finally:
        service.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def released(trial: TrialService) -> TrialService:
    """The same, with version 1 released."""
    ended = trial.release("1", strategy="rolling")
    assert ended.returncode == 0, ended.stderr
    return trial


def pytest_report_header() -> str:
    if ABSENT:
        return "kubernetes: no cluster"
    versions = subprocess.run(["kubectl", "version", "-o", "json"], capture_output=True, text=True, check=False).stdout
    version = json.loads(versions or "{}").get("serverVersion", {}).get("gitVersion")
    return f"kubernetes: {version}"
