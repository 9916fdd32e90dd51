"""The search service's own image, by its own manifests, released under load."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from search_release import NAME, SearchService
from servers import postgres

HOST = os.environ.get("LMSERVICE_TEST_HOST", "")
IMAGE = os.environ.get("LMSERVICE_TEST_SEARCH_IMAGE", "")
INGRESS = os.environ.get("LMSERVICE_TEST_INGRESS", "0")
pytestmark = pytest.mark.skipif(
    not (HOST and IMAGE), reason="LMSERVICE_TEST_HOST or LMSERVICE_TEST_SEARCH_IMAGE is missing"
)


@pytest.fixture
def search(tmp_path: Path) -> Iterator[SearchService]:
    """The search service at version 1, and a PostgreSQL that its pods reach."""
    service = SearchService(NAME, tmp_path, image=IMAGE, port=int(INGRESS), python=sys.executable)
    service.kubectl("create", "namespace", NAME)
    try:
        with postgres(network="0.0.0.0/0") as database:
            url = database.url(host=HOST)
            service.kubectl("create", "secret", "generic", NAME, f"--from-literal=LM_DATABASE_URL={url}")
            ended = service.release("1", strategy="rolling")
            assert ended.returncode == 0, ended.stderr
            yield service
    finally:
        service.kubectl("delete", "namespace", NAME, "--wait=false")


def test_a_canary_of_the_search_service_is_released_and_no_search_is_lost(search: SearchService) -> None:
    with search.under_load() as load:
        ended = search.release("2", LM_DEPLOY_LATENCY_ALLOWANCE="1")  # two cores carry the cluster and its load
    assert ended.returncode == 0, ended.stderr
    assert search.is_whole_at("2")
    assert (load.failures, load.refused) == ({}, 0)
    assert load.served > 1000
