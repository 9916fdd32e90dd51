"""The intake of a consumer: how much may be fetched, and what is in hand.

What is in hand was fetched and has not ended. From the first moment of a stop there is no room; what is in hand then
has `LM_DRAIN_TIMEOUT` to end. A fetch itself is never cancelled before that: what the broker has handed over already
would be lost with it, or come a second time.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from lmservice.errors import UsageError
from lmservice.lifecycle import Lifecycle
from lmservice.telemetry import context

Outcome = Literal["ok", "failed", "retried", "dead_lettered", "given_back", "cut_off"]
"""How the work on one message ended. `failed`: it raised, in a loop that settles its messages itself."""

Settle = Callable[[Outcome, float], None]
"""A function that is told each end: how, and after how many seconds."""

_log = logging.getLogger("lmservice.messaging")


class Intake:
    """What a consumer's loop asks for room, and hands over what it has fetched.

    Args:
        name: the consumer's.
        concurrency: how many messages may be in hand.
        lifecycle: there is no room once it drains.
        settle: told the end of each message.
        clock: seconds that only grow.
    """

    def __init__(
        self, name: str, concurrency: int, lifecycle: Lifecycle, settle: Settle, clock: Callable[[], float]
    ) -> None:
        self._name, self._concurrency, self._lifecycle = name, concurrency, lifecycle
        self._settle, self._clock = settle, clock
        self._in_hand: dict[asyncio.Task[Outcome], Coroutine[Any, Any, Any]] = {}
        self._changed = asyncio.Event()
        self._cutting = False
        self.on_room: Callable[[], None] = lambda: None
        """Called when the loop asks for room, and so has reached its broker."""

    @property
    def free(self) -> int:
        """Return how many messages may be fetched now; 0 from the first moment of a stop."""
        return 0 if self._lifecycle.draining else max(0, self._concurrency - len(self._in_hand))

    @property
    def in_hand(self) -> int:
        """Return how many messages were taken whose work has not ended."""
        return len(self._in_hand)

    async def room(self) -> bool:
        """Wait until there is room for one message at least, and return true; false once the service stops.

        It is never true from the first moment of a stop. False comes when nothing is in hand any longer, as the work
        under way still needs the connection that the loop closes when it ends.
        """
        self.on_room()
        await asyncio.sleep(0)  # a loop whose fetch never waits must not keep all others from running
        while not self._lifecycle.draining:
            if self.free:
                return True
            await self._change()
        await self.emptied()
        return False

    def take(self, work: Coroutine[Any, Any, Any]) -> None:
        """Begin the work on one message, in a task of its own; a stop waits for it.

        It is counted, timed, and cut off at the end of `LM_DRAIN_TIMEOUT`. Whatever has been fetched may be taken, even
        where it is more than there was room for, or where a stop has begun meanwhile: it is in hand already.

        Args:
            work: a coroutine; what it raises is logged and counted as `failed`.

        Raises:
            UsageError: it is no coroutine.
        """
        if not asyncio.iscoroutine(work):
            raise UsageError(
                f"take() of consumer {self._name!r} was given {work!r}: it takes a coroutine, take(work(m))"
            )
        if self._cutting:
            work.close()
            self._settle("given_back", 0.0)
            return
        task = asyncio.create_task(self._run(work), name=f"message of consumer {self._name}")
        self._in_hand[task] = work
        task.add_done_callback(self._end)

    async def emptied(self) -> None:
        """Wait until nothing is in hand."""
        while self._in_hand:
            await self._change()

    def wake(self) -> None:
        """Have whoever waits look again, as when a stop begins."""
        self._changed.set()

    def cut_off(self) -> set[asyncio.Task[Outcome]]:
        """Cancel what is in hand; return its tasks, to be waited for."""
        self._cutting = True
        for task in self._in_hand:
            task.cancel()
        return set(self._in_hand)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _run(self, work: Coroutine[Any, Any, Any]) -> Outcome:
        began = self._clock()
        outcome: Outcome = "failed"
        with context.span(f"process {self._name}", attributes={"lmservice.consumer": self._name}) as span:
            try:
                await work
                outcome = "ok"
            except BaseException as error:  # noqa: BLE001 - it is the work's, SystemExit among it
                span.fail(type(error).__name__)
                outcome = self._failure(error)
        self._settle(outcome, self._clock() - began)
        return outcome

    def _failure(self, error: BaseException) -> Outcome:
        if self._cutting:
            return "cut_off"
        _log.error("lmservice.message_failed", exc_info=error, extra={"consumer": self._name})
        return "failed"

    def _end(self, task: asyncio.Task[Outcome]) -> None:
        work = self._in_hand.pop(task)
        if task.cancelled():  # before its first step
            work.close()
            self._settle("given_back", 0.0)
        self._changed.set()
