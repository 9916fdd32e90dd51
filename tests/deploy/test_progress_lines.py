"""What a release says where nobody watches a table: a line an event, and none twice."""

import io
from typing import Any

import pytest

from lmservice.deploy import rolling_plan
from lmservice.deploy.progress_lines import Lines, planned, sentence
from lmservice.deploy.prospect import Change, FieldChange, Prospect

IMAGE = "registry.intra/shop"


def pod(version: str, state: str = "ready", *, canary: bool = False, problem: str = "", ending: bool = False) -> Any:
    shown = "ending" if ending else problem or state
    return {"image": f"{IMAGE}:{version}", "canary": canary, "problem": problem, "ending": ending, "state": shown}


@pytest.mark.parametrize(
    ("pods", "line"),
    [
        ([], "pods: none yet"),
        ([pod("1"), pod("1"), pod("2", canary=True)], f"pods: 2 ready ({IMAGE}:1), 1 ready (canary {IMAGE}:2)"),
        ([pod("2", problem="it crashes"), pod("2", "starting")], None),
        ([pod("1", problem="it crashes", ending=True)], f"pods: 1 ending ({IMAGE}:1)"),
    ],
)
def test_pods_are_counted_by_version_and_state(pods: list[Any], line: str | None) -> None:
    wanted = line or f"pods: 1 starting ({IMAGE}:2), 1 failing ({IMAGE}:2): it crashes"
    assert sentence("pods", {"pods": pods}) == wanted


def test_what_has_not_changed_is_not_said_again_whatever_else_was_said_meanwhile() -> None:
    out = io.StringIO()
    lines = Lines(out)
    for text in ("one", "two"):
        lines("pods", {"pods": [pod("1")]})
        lines("note", {"text": text})
    lines("pods", {"pods": []})
    assert [line.partition(" ")[2] for line in out.getvalue().splitlines()] == [
        f"pods: 1 ready ({IMAGE}:1)",
        "one",
        "two",
        "pods: none yet",
    ]


def test_a_plan_is_read_without_a_manual() -> None:
    fields = [
        FieldChange("replicas", "2", "3"),
        FieldChange("container shop: env NEW", "", "1"),
        FieldChange("container shop: env OLD", "1", ""),
        FieldChange("password", "(not shown)", "(not shown)"),
        FieldChange("container proxy", "...", "", "istio-injector"),
    ]
    objects = {
        "apps/Deployment/team/shop": "change",
        "/ConfigMap/team/shop-6ct58987ht": "keep",
        "/Service/team/x": "delete",
    }
    changes = [Change("change", "Deployment", "shop", fields), Change("delete", "Service", "x")]
    assert list(planned(Prospect(rolling_plan(), objects, "pods", changes))) == [
        "change  Deployment shop",
        "        replicas: 2 -> 3",
        "        container shop: env NEW: 1 is new",
        "        container shop: env OLD: 1 goes",
        "        password: another value (not shown)",
        "        container proxy stays, as istio-injector has set it: it is not in the overlay",
        "delete  Service x",
        "keep    ConfigMap shop",
    ]
