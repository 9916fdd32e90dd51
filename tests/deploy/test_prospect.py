"""What `plan` and `status` say, as data and in words for a person."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cluster_api.cluster import FakeCluster
from cluster_api.shop import IMAGE, Shop, autoscaler, service

LMSERVICE = str(Path(sys.executable).with_name("lmservice"))


def said(shop: Shop, command: str, *words: str, code: int = 0) -> str:
    """What a command prints."""
    ran = subprocess.run(
        [LMSERVICE, "deploy", command, "shop", "--environment", "qa", *words],
        cwd=shop.folder.parent,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == code, ran.stderr
    return ran.stdout


def plan(shop: Shop, version: str, *words: str) -> str:
    return said(shop, "plan", "--image", IMAGE, "--version", version, *words)


def test_right_after_a_release_everything_is_kept(shop: Shop) -> None:
    shop.objects.append(autoscaler(3))
    del shop.objects[0]["spec"]["replicas"]
    shop.describe()
    shop.canary("1")
    assert set(shop.prospect("1").objects.values()) == {"keep"}
    shop.canary("2")
    prospect = shop.prospect("2")
    assert (set(prospect.objects.values()), list(prospect.changes)) == ({"keep"}, [])


def test_the_plan_says_in_words_what_changes_from_what_to_what(shop: Shop) -> None:
    shop.objects.append(service("extra"))
    shop.describe(LM_GREETING="hello")
    shop.rolling("1")
    shop.objects.pop()
    shop.objects[0]["spec"]["replicas"] = 3
    shop.describe(LM_GREETING="hi", LM_LATENCY="0.1")
    text = plan(shop, "2")
    for line in (
        "change  Deployment shop",
        f"image: {IMAGE}:1 -> {IMAGE}:2",
        "replicas: 2 -> 3",
        "change  ConfigMap shop",
        "LM_GREETING: hello -> hi",
        "LM_LATENCY: 0.1 is new",
        "delete  Service extra",
        "keep    Service shop",
    ):
        assert line in text, text
    assert "/" not in text.partition("ConfigMap shop")[2].partition("\n")[0]


def test_the_plan_tells_no_secret(shop: Shop) -> None:
    def secret(value: str) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"password": value}}

    shop.objects.append(secret("hunter2"))
    shop.describe()
    shop.rolling("1")
    shop.objects[-1] = secret("hunter3")
    shop.describe()
    for text in (plan(shop, "1"), plan(shop, "1", "--output", "json")):
        assert "password" in text
        assert not [secret for secret in ("hunter", "aHVudGVy") if secret in text], text


def test_the_plan_of_a_first_release_has_one_step_and_says_why(shop: Shop, cluster: FakeCluster) -> None:
    text = plan(shop, "1")
    assert text.splitlines()[0] == "1. promote to 100 %"
    assert "nothing runs yet to compare with: the canary is left out" in text
    assert "create  Deployment shop" in text
    assert cluster.names("Deployment") == set()


def test_a_plan_can_be_made_before_there_is_a_namespace(shop: Shop, cluster: FakeCluster) -> None:
    shop.describe(namespace="later")
    assert set(shop.prospect("1").objects.values()) == {"create"}
    assert "later" not in cluster.names("Namespace")


def test_the_status_before_any_release_says_so(shop: Shop) -> None:
    assert said(shop, "status") == "shop in qa (namespace team): nothing released yet\n"


def test_the_status_says_what_serves_and_what_was_released(shop: Shop) -> None:
    shop.rolling("1")
    shop.rolling("2")
    lines = said(shop, "status").splitlines()
    assert lines[0] == f"shop: 2 of 2 pods ready, {IMAGE}:2"
    assert [line.split()[0] for line in lines[1:]] == ["2", "1"]


def test_a_first_release_leaves_the_canary_out_in_one_line(shop: Shop) -> None:
    shop.canary("1")
    assert [event["text"] for event in shop.said("note")] == [
        "nothing runs yet to compare with: the canary is left out"
    ]
    assert [event["step"] for event in shop.said("step")] == ["promote to 100 %"]


def test_a_first_release_starts_as_many_pods_as_its_autoscaler_asks_for(shop: Shop, cluster: FakeCluster) -> None:
    del shop.objects[0]["spec"]["replicas"]
    shop.objects.append(autoscaler(3))
    shop.describe()
    sizes: list[int] = []
    cluster.fails("PATCH .*/deployments/shop", first=lambda: sizes.append(0), times=1)
    shop.canary("1")
    applied = [
        call.body["spec"]["replicas"]  # type: ignore[index]
        for call in cluster.server.calls
        if call.writes and call.path.endswith("/deployments/shop")
    ]
    assert applied == [3]
    assert shop.is_whole_at("1", 3)


@pytest.mark.parametrize("output", ["live", "json"])
def test_a_plan_without_an_artifact_keeps_what_runs(shop: Shop, output: str) -> None:
    shop.rolling("1")
    text = said(shop, "plan", "--output", output)
    assert "Deployment" in text
