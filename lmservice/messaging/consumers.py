"""All consumers of one instance: begun when it is ready, drained from the first moment of a stop, counted."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypedDict

from lmservice import names
from lmservice.lifecycle import CutOff, Lifecycle
from lmservice.messaging.intake import Outcome
from lmservice.messaging.loop import ConsumerLoop, ConsumerRun
from lmservice.telemetry.metrics import Metrics

OTHER_SYSTEM = "_OTHER"
"""`messaging_system` of a loop, whose broker only its author knows, as the semantic conventions have it."""

_log = logging.getLogger("lmservice.messaging")


class MessageCounts(TypedDict):
    """How many messages ended during a stop.

    Attributes:
        handled: those whose work came to its end, whatever that was.
        given_back: those that were fetched and not begun.
        cut_off: those that were begun, cancelled and given back.
    """

    handled: int
    given_back: int
    cut_off: int


class Consumers:
    """The consumers of one instance, with their metrics (`Drainable`).

    Args:
        declared: their names all different.
        lifecycle: none fetches once it drains.
        metrics: get the families of all consumers, in the place of those of an instance before.
        clock: seconds that only grow; default `time.monotonic`.
    """

    def __init__(
        self,
        declared: Sequence[ConsumerLoop],
        lifecycle: Lifecycle,
        metrics: Metrics,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._lifecycle = lifecycle
        self._ended_in_stop: Counter[Outcome] = Counter()
        self.runs = [ConsumerRun(loop, lifecycle, partial(self._count, loop.name), clock) for loop in declared]
        if declared:
            self._add_families(metrics)

    def _add_families(self, metrics: Metrics) -> None:
        self._durations = metrics.durations(
            names.MESSAGE_DURATION,
            "How long the work on each message took, in seconds, by how it ended.",
            ("consumer", "messaging_system", "messaging_destination_name", "outcome"),
        )
        metrics.on_scrape(
            names.MESSAGES_IN_HAND,
            "Messages that were fetched and whose work has not ended.",
            ("consumer",),
            lambda: [((run.name,), float(run.intake.in_hand)) for run in self.runs],
        )
        metrics.on_scrape(
            names.CONSUMER_UP,
            "1 for a consumer that has reached its broker, 0 for one that has not, or broke down.",
            ("consumer",),
            lambda: [((run.name,), float(run.up)) for run in self.runs],
            multiprocess_mode="min",
        )

    def _count(self, name: str, outcome: Outcome, seconds: float) -> None:
        self._durations.child(name, OTHER_SYSTEM, name, outcome).observe(seconds)
        if self._lifecycle.draining:
            self._ended_in_stop[outcome] += 1

    def begin(self, state: Any) -> None:
        """Begin all of them; `state` is what the start-up jobs have made."""
        for run in self.runs:
            run.task = asyncio.create_task(run.run(state), name=f"consumer {run.name}")

    def end(self) -> None:
        """Cancel what has not ended even though it was cut off."""
        for run in self.runs:
            if run.task is not None:
                run.task.cancel()

    def in_stop(self) -> MessageCounts:
        """Return how many messages have ended since the stop began."""
        ended = self._ended_in_stop
        apart = ended["given_back"], ended["cut_off"]
        return {"handled": ended.total() - sum(apart), "given_back": apart[0], "cut_off": apart[1]}

    def holding(self) -> bool:
        """Return whether any of them has not ended, or has anything in hand."""
        return any(run.holding for run in self.runs)

    async def cut_off(self, patience: float, limit: str) -> CutOff:
        """Cancel what is in hand, then the loops that do not end by themselves, and tell what was cut off."""
        in_hand = {run.name: run.intake.cut_off() for run in self.runs}
        messages = set[asyncio.Task[Outcome]]().union(*in_hand.values())
        if messages:
            await asyncio.wait(messages, timeout=patience / 2)
        loops = await self._cut_off_loops(patience / 2)
        problems = tuple(self._problems(in_hand, limit))
        ended_late = [task for task in (*messages, *loops) if not task.done()]
        return CutOff(len(messages) + len(loops), len(ended_late), problems)

    async def _cut_off_loops(self, patience: float) -> set[asyncio.Task[None]]:
        """Give the loops a moment to close their connections, and cancel those that do not; return these."""
        tasks = {run.task: run for run in self.runs if run.task is not None and not run.task.done()}
        if not tasks:
            return set()
        _, left = await asyncio.wait(tasks, timeout=patience / 2)
        for task in left:
            tasks[task].cut = True
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=patience / 2)
        return left

    def _problems(self, in_hand: dict[str, set[asyncio.Task[Outcome]]], limit: str) -> Iterator[str]:
        """Yield what was cut off, a line each, which goes into the log as well."""
        for run in self.runs:
            cut = [task for task in in_hand[run.name] if not (task.done() and _completed(task))]
            if cut:
                count = f"{len(cut)} message{'s' * (len(cut) > 1)} of consumer {run.name!r}"
                yield self._logged(run.name, f"{count} {'were' if len(cut) > 1 else 'was'} cut off by {limit}")
            if run.cut:
                yield self._logged(run.name, f"the loop of consumer {run.name!r} was cut off by {limit}")

    def _logged(self, name: str, problem: str) -> str:
        _log.error("lmservice.consumer_cut_off", extra={"consumer": name, "error": problem})
        return problem


def _completed(task: asyncio.Task[Outcome]) -> bool:
    return not task.cancelled() and task.result() == "ok"
