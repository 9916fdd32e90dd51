"""The families of metrics that the supervisor alone can tell: the state of all, and how the workers fare."""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from lmservice import names
from lmservice.lifecycle import State
from lmservice.server.families import Stateful, add_state
from lmservice.telemetry.metrics import Metrics, Samples
from lmservice.workers.replacement import Slot


class Slotted(Stateful, Protocol):
    """Whose workers are told of."""

    slots: list[Slot]


def add_families(metrics: Metrics, supervisor: Slotted) -> None:
    """Add them to the supervisor's own registry."""
    add_state(metrics, supervisor)
    metrics.on_scrape(
        names.WORKERS, "Workers, by the state that they are in.", ("state",), lambda: _states(supervisor.slots)
    )
    metrics.on_scrape(
        names.WORKER_DEATHS,
        "Workers that ended without having been told to.",
        (),
        lambda: [((), float(sum(slot.deaths for slot in supervisor.slots)))],
        kind="counter",
    )


def _states(slots: Sequence[Slot]) -> Samples:
    states = Counter(slot.worker.state for slot in slots)
    return [((state.value,), float(states[state])) for state in State]
