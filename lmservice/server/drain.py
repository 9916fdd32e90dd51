"""The drain: the phases of a stop, and everything that can hold it up, asked by one protocol.

One object serves one process and the supervisor of several alike. It is given the way in (`Entrance`), which stays open
for the delay, and whatever may have work under way (`Drainable`): the requests, the periodic jobs, the workers. It
waits until none of them holds the stop up, or its time is over, and then has all of them cut off at once.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Protocol

from lmservice.lifecycle import CutOff, Drainable, Lifecycle, Phase
from lmservice.settings.model import Settings
from lmservice.settings.stop_budget import ANSWERS_SECONDS, CUT_OFF_SECONDS
from lmservice.web.listener import Listener
from lmservice.web.request import RequestLayer

TICK = 0.05
"""Seconds between two looks at how far a drain is."""


_log = logging.getLogger("lmservice.instance")


class Entrance(Protocol):
    """The way in, through which new work comes until a drain closes it."""

    def may_close(self, passed: float) -> bool:
        """Return whether it need not stay open any longer, `passed` seconds after the drain began."""

    async def close(self) -> None:
        """Refuse new connections without losing those that wait to be accepted."""

    def close_idle(self) -> None:
        """Let go of the connections on which nothing goes on; called often, once the idle grace is over."""

    async def end(self) -> None:
        """Cut what is still connected, at the drain's end."""


class Drain:
    """One stop's phases, how long each took, and what of the work had to be cut off.

    Args:
        limit: what the work under way has, in seconds.

    Attributes:
        seconds: how long each phase took.
        unclean: whether work was cut off.
        problems: what the report says of that, a line each.
    """

    def __init__(self, settings: Settings, lifecycle: Lifecycle, limit: float) -> None:
        self._settings, self._lifecycle, self._limit = settings, lifecycle, limit
        self.seconds: dict[Phase, float] = {"drain_delay": 0.0, "drain": 0.0, "cleanup": 0.0}
        self.unclean = False
        self.problems: list[str] = []

    @contextlib.contextmanager
    def timed(self, phase: Phase) -> Iterator[float]:
        """Enter a phase, and note how long it took; yield when it began, in seconds of the loop's clock."""
        loop = asyncio.get_running_loop()
        self._lifecycle.enter(phase)
        began = loop.time()
        yield began
        self.seconds[phase] += loop.time() - began

    async def run(self, entrance: Entrance, drainables: Sequence[Drainable], at_once: Sequence[Drainable] = ()) -> None:
        """Keep the way in open for the delay, close it, and wait for what is under way.

        Args:
            entrance: the way in.
            drainables: what may have work under way, whose time begins when the way in is closed.
            at_once: the same, whose time begins with the delay.
        """
        if self._settings.environment == "dev":
            self._lifecycle.hurry()
        loop = asyncio.get_running_loop()
        with self.timed("drain_delay") as began:
            early = asyncio.create_task(self._wait(began, None, at_once), name="drain from the first moment")
            while not entrance.may_close(loop.time() - began):  # noqa: ASYNC110 - what it looks at sets no event
                await asyncio.sleep(TICK)
        with self.timed("drain") as began:
            await entrance.close()
            await self._wait(began, entrance, drainables)
            await entrance.end()
            await early

    async def _wait(self, began: float, entrance: Entrance | None, drainables: Sequence[Drainable]) -> None:
        loop = asyncio.get_running_loop()
        while any(drainable.holding() for drainable in drainables):
            passed = loop.time() - began
            if passed >= self._limit or self._lifecycle.forced:
                await self._cut_off(drainables)
                return
            if entrance is not None and (self._lifecycle.hurried or passed >= self._settings.idle_grace):
                entrance.close_idle()
            await asyncio.sleep(TICK)

    async def _cut_off(self, drainables: Sequence[Drainable]) -> None:
        forced = self._lifecycle.forced
        patience = CUT_OFF_SECONDS / 10 if forced else CUT_OFF_SECONDS
        limit = "a second SIGINT" if forced else f"LM_DRAIN_TIMEOUT, {self._settings.drain_timeout:g} s"
        cut = await asyncio.gather(*(drainable.cut_off(patience, limit) for drainable in drainables))
        tasks, left = sum(part.tasks for part in cut), sum(part.left for part in cut)
        self.problems += [problem for part in cut for problem in part.problems]
        self.unclean = self.unclean or bool(tasks or self.problems)
        if tasks:
            values = {"limit": self._settings.drain_timeout, "tasks": tasks, "left": left}
            _log.error("lmservice.cut_off", extra=values)


class Requests:
    """The requests of one listener, with its connections, WebSockets and the tasks behind a response (`Drainable`)."""

    def __init__(self, listener: Listener, layer: RequestLayer, lifecycle: Lifecycle) -> None:
        self._listener, self._layer, self._lifecycle = listener, layer, lifecycle

    def holding(self) -> bool:
        """Return whether anybody is connected, or a task runs the app."""
        return bool(self._listener.open or self._listener.tasks)

    async def cut_off(self, patience: float, limit: str) -> CutOff:  # noqa: ARG002 - they are told by route
        """Answer for the handlers and cancel them; wait until they have ended, and their answers are sent."""
        tasks, unsent = set(self._listener.tasks), self._listener.unsent
        if not tasks and not unsent:
            return CutOff()
        self._listener.cutting_off = True
        if tasks:
            self._layer.overdue.cut_off(tasks, self._layer.cut_by_route)
            await asyncio.wait(tasks, timeout=patience)
        loop = asyncio.get_running_loop()
        flushed = loop.time() + (ANSWERS_SECONDS / 5 if self._lifecycle.hurried else ANSWERS_SECONDS)
        while self._listener.open and loop.time() < flushed:
            self._listener.close_idle(0)
            await asyncio.sleep(TICK)
        cut_short = [cycle for cycle in self._listener.unsent if cycle in unsent]
        for cycle in cut_short:
            self._layer.count_unsent(cycle.scope, counted=cycle.in_drain)
        return CutOff(len(tasks) + len(cut_short), sum(not task.done() for task in tasks))
