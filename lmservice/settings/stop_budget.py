"""The time that a stop may take, and whether the pod's grace period covers it.

Its phases have settings. What comes beside them, to the process's end, are the constants here, and nowhere else: where
everything hangs at once they are spent one after another, and must fit `CLOSING_SECONDS` (`closing_alone`,
`closing_of_workers`).
"""

from collections.abc import Mapping
from typing import Any

from pydantic_settings import BaseSettings

CLOSING_SECONDS = 3.0
"""The time that closing itself may take, beside the phases that have settings, in seconds."""
CUT_OFF_SECONDS = 0.5
"""The time that work which was cut off, the drain's time being over, has to end itself, in seconds."""
ANSWERS_SECONDS = 0.3
"""The time that the answers given in its place have to be sent, in seconds; a fifth of it where the stop is hurried."""
CLIENTS_SECONDS = 0.2
"""The time that the service's outbound clients have to close, in seconds."""
FLUSH_SECONDS = 2.0
"""The time of the clean-up that the last metrics and spans have to be sent, in seconds, …"""
FLUSH_SECONDS_LEAST = 0.2
"""… and what they have where nothing is left of that, or the stop is forced."""
LOOP_END_SECONDS = 0.1
"""The time that tasks nobody waits for have to end with the loop, and then async generators, in seconds."""
REPORT_SECONDS = 0.3
"""The time that a worker's last words have to reach the supervisor, in seconds."""
GOODBYE_SECONDS = 0.4
"""The time that answers of the management listener which are under way have, in seconds."""
LEFTOVERS_SECONDS = 0.3
"""The time that threads which do not end have, before the process leaves without them, in seconds."""
WORKERS_SECONDS = 2.0
"""The time beside their phases after which a supervisor has workers killed that have not ended, in seconds."""
FORCED_SECONDS = 2.0
"""The time that workers have to end once a second SIGINT has forced the stop, however early, in seconds."""
KILLED_SECONDS = 0.1
"""The time that workers have to end once that time is over, before they are killed, in seconds."""


def closing_alone() -> float:
    """Return what closing takes one process, or a worker, at the most, in seconds."""
    work = CUT_OFF_SECONDS + ANSWERS_SECONDS + CLIENTS_SECONDS + FLUSH_SECONDS_LEAST
    return work + 2 * LOOP_END_SECONDS + max(REPORT_SECONDS, GOODBYE_SECONDS) + LEFTOVERS_SECONDS


def closing_of_workers() -> float:
    """Return what closing takes several workers and their supervisor, which has no threads of others, in seconds."""
    own = KILLED_SECONDS + FLUSH_SECONDS_LEAST + 2 * LOOP_END_SECONDS + GOODBYE_SECONDS
    return WORKERS_SECONDS + own


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
