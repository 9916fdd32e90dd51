"""What a terminal shows of a release, at the widths that terminals have."""

import io
from typing import Any

import pytest
from rich.console import Console

from lmservice.deploy import CanaryPods, Promote, SetWeight
from lmservice.deploy.progress_lines import shown
from lmservice.deploy.progress_table import Board

IMAGE = "registry.intra/team/shop"
STEPS = [str(step) for step in (CanaryPods(1), SetWeight(10), Promote(50), Promote(100))]
BEGIN = {"service": "shop", "environment": "production", "artifact": f"{IMAGE}:2", "namespace": "team", "cluster": "c"}
PASSED = {"verdict": "passed", "reason": "no worse"}


def pods(version: str, state: str, count: int = 1, *, canary: bool = False, problem: str = "") -> list[dict[str, Any]]:
    more = {"canary": canary, "ending": state == "ending", "problem": problem, "state": problem or state}
    return [{"name": f"shop-{version}-{number}", "image": f"{IMAGE}{version}", **more} for number in range(count)]


def board(*events: tuple[str, dict[str, Any]]) -> Board:
    """Half a minute after the last event."""
    moment = [0.0]
    made = Board(lambda: moment[0])
    made.observe("begin", BEGIN)
    made.observe("plan", {"steps": STEPS})
    for name, details in events:
        made.observe(name, details)
    moment[0] = 33.0
    return made


def drawn(made: Board, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(made.render())
    text = console.export_text()
    assert max(len(line) for line in text.splitlines()) <= width
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


def step(number: int) -> tuple[str, dict[str, Any]]:
    return "step", {"number": number, "of": len(STEPS), "step": STEPS[number - 1]}


@pytest.mark.parametrize("width", [80, 140])
def test_both_versions_stand_side_by_side_below_the_steps(width: int) -> None:
    counts = {"requests": 11230, "error_ratio": 0.0004, "p99": 0.0391}
    figures = {"stable": counts, "canary": {**counts, "requests": 1240, "error_ratio": 0.5}, **PASSED}
    shown_pods = {"pods": [*pods(":1", "ready", 12), *pods(":2", "starting", canary=True)]}
    text = drawn(board(step(1), ("weight", {"percent": 10}), ("pods", shown_pods), ("analysis", figures)), width)
    assert "shop → production in team" in text
    assert "▶ canary of 1 pod, 0:33" in text
    assert "· weight of 10 %" in text
    assert "stable 1 12 ready 90 % 11,230 0.04% 39 ms" in text
    assert "canary 2 1 starting 10 % 1,240 50.00% 39 ms" in text
    assert "passed: no worse" in text


def test_while_a_version_is_rolled_out_its_pods_are_told_from_those_that_end() -> None:
    details = {
        "pods": [*pods(":1", "ready", 7), *pods(":1", "ending", 3), *pods("@sha256:0123456789abcdef", "ready", 4)]
    }
    text = drawn(board(("weight", {"percent": 50}), step(4), ("pods", details)))
    assert "✓ promote to 50 %" in text
    assert "stable 1 7 ready, 3 ending" in text
    assert "stable sha256:0123456789ab 4 ready" in text
    assert "traffic" not in text, "the last step has no weights"


def test_a_rollback_says_why_and_what_is_wrong_with_the_pods_in_their_words() -> None:
    reason = "the API server has not answered for 20 s ([Errno 111] Connection refused)"
    details = {"pods": pods(":2", "starting", 5, canary=True, problem="its image cannot be pulled ([/red])")}
    text = drawn(board(step(2), ("rollback", {"reason": reason}), ("pods", details)), 140)
    assert f"rolling back, for 0:33: {reason}" in text
    assert "canary 2 5 failing" in text
    assert text.count("its image cannot be pulled ([/red])") == 3
    assert "and 2 more" in text


def test_a_terminal_keeps_the_steps_and_what_went_wrong_after_the_board_is_gone() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    with shown(out=terminal) as observe:
        observe("begin", BEGIN)
        observe(*step(1))
        observe("note", {"text": "[Errno 111] is no markup"})
    text = terminal.getvalue()
    assert "step 1 of 4: canary of 1 pod" in text
    assert "[Errno 111] is no markup" in text
