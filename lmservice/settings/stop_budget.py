"""The time that a stop may take, and whether the pod's grace period covers it."""

from collections.abc import Mapping
from typing import Any

from pydantic_settings import BaseSettings

CLOSING_SECONDS = 3.0
"""The time that closing itself may take, beside the phases that have settings, in seconds."""

BUDGET = ("drain_delay", "drain_delay_max", "drain_timeout", "cleanup_timeout", "termination_grace_period")
"""The settings that make the sum, and at the end the one that bounds it."""


def contradictions(values: Mapping[str, Any]) -> list[str]:
    """Name what cannot hold together, a line each; nothing where a value is bad by itself, which has its own line."""
    try:
        delay, delay_max, drain, cleanup, grace = (float(values[name]) for name in BUDGET)
    except (TypeError, ValueError):
        return []
    needed, needs = _budget(delay, delay_max, drain, cleanup)
    if needed <= grace:
        return []
    limit = f"more than LM_TERMINATION_GRACE_PERIOD {grace:g} s"
    advice = "shorten one of them, or raise it together with the pod's terminationGracePeriodSeconds"
    return [f"{needs} = {needed:g} s, {limit}: {advice}"]


def drain_budget(settings: BaseSettings) -> tuple[float, str]:
    """Return what a stop may take at the most, in seconds, and the sum that makes it."""
    return _budget(*(float(getattr(settings, name)) for name in BUDGET[:-1]))


def _budget(delay: float, delay_max: float, drain: float, cleanup: float) -> tuple[float, str]:
    longest = f"LM_DRAIN_DELAY_MAX {delay_max:g}" if delay_max >= delay else f"LM_DRAIN_DELAY {delay:g}"
    needs = f"{longest} + LM_DRAIN_TIMEOUT {drain:g} + LM_CLEANUP_TIMEOUT {cleanup:g} + {CLOSING_SECONDS:g} for closing"
    return max(delay, delay_max) + drain + cleanup + CLOSING_SECONDS, needs
