"""The sum of a stop's phases against the pod's grace period."""

from pathlib import Path

import pytest
from settings.conftest import Own, problems, put

from lmservice import Settings


def test_a_budget_that_just_fits_the_grace_is_taken() -> None:
    settings = Own.load(drain_delay_max=12, drain_timeout=30, cleanup_timeout=15, termination_grace_period=60)
    assert settings.termination_grace_period == 60


def test_a_budget_a_moment_longer_than_the_grace_is_refused_with_its_numbers() -> None:
    (problem,) = problems(drain_delay_max=12.5, drain_timeout=30, cleanup_timeout=15, termination_grace_period=60)
    assert all(number in problem for number in ("12.5", "30", "15", "3", "60", "60.5"))


def test_a_delay_above_its_maximum_counts_in_the_budget() -> None:
    (problem,) = problems(drain_delay=40)
    assert "LM_DRAIN_DELAY 40" in problem


def test_the_budget_is_held_against_what_the_environment_and_files_say(
    monkeypatch: pytest.MonkeyPatch, secrets: Path
) -> None:
    put(monkeypatch, DRAIN_TIMEOUT="30")
    (secrets / "lm_cleanup_timeout").write_text("13")
    (problem,) = problems()
    assert "61" in problem


def test_the_budget_of_a_class_with_defaults_of_its_own_is_held_too() -> None:
    class Patient(Settings):
        drain_timeout: float = 300

    (problem,) = problems(Patient)
    assert "LM_DRAIN_TIMEOUT 300" in problem
