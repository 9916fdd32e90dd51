"""The one way into several workers, and what holds up their stop: the workers themselves."""

import asyncio
import math
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from lmservice.lifecycle import CutOff, Lifecycle
from lmservice.server.drain import TICK
from lmservice.server.entrance import Handover, delay_is_over
from lmservice.settings.model import Settings
from lmservice.settings.stop_budget import FORCED_SECONDS, KILLED_SECONDS
from lmservice.telemetry.levels import Levels
from lmservice.web import sockets
from lmservice.workers.worker import Worker

PARTING = 0.5
"""Seconds that the first workers have to part with the listener before the last one is told to."""


class Crowd(Protocol):
    """Whose workers drain."""

    settings: Settings
    lifecycle: Lifecycle

    @property
    def workers(self) -> Sequence[Worker]:
        """Return those that have not ended."""


class WorkersEntrance:
    """The listening socket, which the supervisor holds open and all workers accept from (`Entrance`)."""

    def __init__(self, supervisor: Crowd, sock: socket.socket | None) -> None:
        self._supervisor, self._sock = supervisor, sock

    def may_close(self, passed: float) -> bool:
        """Return whether the delay is over for all, `passed` seconds after the drain began."""
        statuses = [worker.status for worker in self._supervisor.workers if worker.status]
        if not statuses or self._sock is None:
            return True
        quiet = min(status["at"] for status in statuses) - max(status["last_opened"] for status in statuses)
        return delay_is_over(self._supervisor.settings, self._supervisor.lifecycle, passed, quiet)

    async def close(self) -> None:
        """Refuse new connections for all at once; where the system cannot, the last worker does, behind the others."""
        workers = self._supervisor.workers
        if self._sock is None:
            return
        if not sockets.refuse_new(self._sock):
            first = workers[:-1]
            tell(first, "part", handover=Handover.REFUSE)
            await until(lambda: all(not worker.alive or worker.status.get("refused") for worker in first), PARTING)
        self._sock.close()
        tell(workers, "part", handover=Handover.REFUSE)

    def close_idle(self) -> None:
        """Pass on that the drain is hurried; when the idle grace is over, the workers know themselves."""
        if self._supervisor.lifecycle.hurried:
            tell(self._supervisor.workers, "hurry")

    async def end(self) -> None:
        """Cut nothing: the connections are the workers', who have ended."""


class WorkersUnderWay:
    """The workers that have not ended, each of which drains by the limits that it knows (`Drainable`)."""

    def __init__(self, supervisor: Crowd) -> None:
        self._supervisor = supervisor

    def holding(self) -> bool:
        """Return whether any of them lives."""
        return bool(self._supervisor.workers)

    async def cut_off(self, patience: float, limit: str) -> CutOff:  # noqa: ARG002 - theirs is longer than a task's
        """Force those that keep to no limit, then kill them."""
        supervisor = self._supervisor
        tell(supervisor.workers, "force")
        await until(
            lambda: not supervisor.workers, KILLED_SECONDS if not supervisor.lifecycle.forced else FORCED_SECONDS
        )
        problems = []
        for worker in supervisor.workers:
            problems.append(f"worker {worker.number} did not end, and was killed")
            worker.kill()
        await until(lambda: not supervisor.workers)
        return CutOff(problems=tuple(problems))


def tell(workers: Iterable[Worker], kind: str, **values: Any) -> None:
    """Tell some workers something that has no answer."""
    for worker in workers:
        worker.tell(kind, **values)


def introduce(worker: Worker, *, watched: Callable[[], bool], levels: Levels) -> None:
    """Have a new worker log, and show itself, as the others do."""
    if watched():
        worker.tell("observe", watched=True)
    for name, change in levels.active_changes().items():
        worker.tell("level", question=-1, name=name, change=change)


def kill(workers: Iterable[Worker]) -> None:
    """End some workers at once."""
    for worker in workers:
        worker.kill()


async def until(done: Callable[[], bool], seconds: float = math.inf) -> bool:
    """Look now and then; return false where it was not so within `seconds`."""
    loop = asyncio.get_running_loop()
    due = loop.time() + seconds
    while not done():
        if loop.time() >= due:
            return False
        await asyncio.sleep(TICK)
    return True
