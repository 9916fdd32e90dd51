"""The state of a service, which only ever moves forward, and the one door through which it is stopped.

`starting → ready → draining → stopped`, or `failed` from `starting`; a stop while starting goes straight to
`draining`. `/stop`, a signal and a broken job all come through `Lifecycle.stop`; the first opens the drain, the
others join it.
"""

import asyncio
import contextlib
import threading
import time
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol


class State(StrEnum):
    """Where a service is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


_ORDER = {State.STARTING: 0, State.READY: 1, State.DRAINING: 2, State.STOPPED: 3, State.FAILED: 3}

Phase = Literal["drain_delay", "drain", "cleanup"]
"""What a stop is at."""


class StopCause(NamedTuple):
    """Who asked for the stop.

    Attributes:
        reason: a short name for the logs: `SIGTERM`, `SIGINT`, `/stop`, `failure`, `test`.
        hurried: whether the drain delay and the idle grace are skipped, as for a person at a terminal.
        failure: what went wrong, where the stop is the service's own.
    """

    reason: str
    hurried: bool = False
    failure: str = ""


class CutOff(NamedTuple):
    """What a drain has cut off, as its time was over.

    Attributes:
        tasks: how many tasks were cancelled.
        left: how many of them have not ended even so.
        problems: what the log and the report say of it, a line each.
    """

    tasks: int = 0
    left: int = 0
    problems: tuple[str, ...] = ()


class Drainable(Protocol):
    """What may have work under way that a stop waits for; asked on the service's own loop.

    A drain asks `holding` of each again and again until all say no. Once `LM_DRAIN_TIMEOUT` is over, or a second SIGINT
    forces the stop, it calls `cut_off` of all of them, at the same time and once.
    """

    def holding(self) -> bool:
        """Return whether work is under way."""

    async def cut_off(self, patience: float, limit: str) -> CutOff:
        """Cut off what is under way.

        Args:
            patience: what it has to end itself, in seconds.
            limit: what ends it, for people: `LM_DRAIN_TIMEOUT, 20 s`.
        """


class Lifecycle:
    """The one owner of a service's state; safe to use from any thread and from signal handlers.

    Handlers find it as `request.state.lifecycle`.

    Attributes:
        phase: what the stop is at; '' before one begins.
        phase_since: when that began, in seconds since the epoch.
        worker: which of `LM_WORKERS` processes this is, from 1; what is for one process alone can be left to the first.
    """

    def __init__(self, worker: int = 1) -> None:
        self.worker = worker
        self._began = time.monotonic()
        self._lock = threading.RLock()  # re-entrant: a signal handler may interrupt its own holder
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._reached = [State.STARTING]
        self.since = time.time()
        self.cause: StopCause | None = None
        self.hurried = False
        self.forced = False
        self.phase: Phase | Literal[""] = ""
        self.phase_since = 0.0

    @property
    def state(self) -> State:
        """Return where the service is now: the furthest of what it has reached.

        Nothing of that is ever taken back, so that a signal which comes in the middle of a change leaves no state that
        contradicts it.
        """
        return max(self._reached, key=_ORDER.__getitem__)

    @property
    def uptime(self) -> float:
        """Return how long the service has lived, in seconds, whatever has become of the wall clock meanwhile."""
        return time.monotonic() - self._began

    @property
    def draining(self) -> bool:
        """Return whether the service has been told to stop: a stream should come to its end."""
        return self.cause is not None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the loop that the service runs on, whose waiters are woken by `stop`."""
        with self._lock:
            self._loop = loop
            self._stopping = asyncio.Event()
            if self.cause is not None:
                self._stopping.set()

    def advance(self, state: State) -> bool:
        """Move forward to `state`; return false, and change nothing, where that would be a step back or aside."""
        with self._lock:
            if _ORDER[state] <= _ORDER[self.state]:
                return False
            self._reached.append(state)
            self.since = time.time()
            return self.state is state

    def stop(self, cause: StopCause) -> bool:
        """Open the drain; return true to the first caller, false to those that join it."""
        with self._lock:
            if self.cause is not None:
                return False
            self.cause = cause
            self.hurried = self.hurried or cause.hurried
            self.advance(State.DRAINING)
            self._wake(self._stopping)
            return True

    def enter(self, phase: Phase) -> None:
        """Note what the stop is at from now on."""
        self.phase, self.phase_since = phase, time.time()

    def hurry(self) -> None:
        """Let the drain skip what is left of its delay and of the idle grace."""
        self.hurried = True

    def force(self) -> None:
        """End the drain that is under way at once, cutting off what is in flight."""
        with self._lock:
            self.forced = self.hurried = True

    async def wait_draining(self) -> None:
        """Wait until the service has been told to stop. To be awaited on the service's own loop."""
        if self._stopping is not None:
            await self._stopping.wait()

    def _wake(self, event: asyncio.Event | None) -> None:
        if event is not None and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody is left to wake
                self._loop.call_soon_threadsafe(event.set)
