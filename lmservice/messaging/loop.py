"""A consumer loop as it was declared, and as it runs: begun anew whenever it breaks down, until a stop."""

import asyncio
import contextlib
import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from lmservice.errors import ServiceDefinitionError, one_line
from lmservice.lifecycle import Lifecycle
from lmservice.messaging.intake import Intake, Settle

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds before a loop that broke down is begun anew: the first range's end, and the longest; see `Backoff`."""
LEAST_WAIT = 0.1
"""Seconds at least."""

LoopFunction = Callable[[Any, Intake], Awaitable[object]]

_log = logging.getLogger("lmservice.messaging")


class ConsumerLoop(NamedTuple):
    """A consumer loop as it was declared.

    Attributes:
        name: in the probes, the metrics and the log.
        function: a coroutine function of the state and an `Intake`.
        concurrency: how many messages may be in hand.
        after: start-up jobs that it needs, by name.
        critical: whether the service is unready while it is down; None is where the service takes no requests.
    """

    name: str
    function: LoopFunction
    concurrency: int
    after: tuple[str, ...] = ()
    critical: bool | None = None


def declared_loop(
    function: Any, *, name: object, concurrency: object, after: Any, critical: bool | None
) -> ConsumerLoop:
    """Return a consumer loop as it is declared.

    Raises:
        ServiceDefinitionError: the function is of another kind, or an argument makes no sense.
    """
    named = name if name is not None else getattr(function, "__name__", "")
    if not (isinstance(named, str) and named):
        raise ServiceDefinitionError(f"name= of a consumer loop is {named!r}: it must be a text that is not empty")
    label = f"consumer loop {named!r}"
    if not inspect.iscoroutinefunction(function):
        raise ServiceDefinitionError(f"{label} is {function!r}: write it as 'async def {named}(state, intake)'")
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        raise ServiceDefinitionError(f"{label} must take two arguments, the state and the intake") from None
    if not isinstance(concurrency, int) or isinstance(concurrency, bool) or concurrency < 1:
        raise ServiceDefinitionError(
            f"concurrency= of {label} is {concurrency!r}: it must be a whole number, more than 0"
        )
    if isinstance(after, str):
        raise ServiceDefinitionError(f"after= of {label} is a list: [{after!r}]")
    return ConsumerLoop(named, function, concurrency, tuple(after), critical)


class ConsumerRun:
    """One consumer of one instance.

    Attributes:
        up: whether it has reached its broker, and has not broken down since.
        failure: what it last broke down with; None where it has not, or is up again.
        task: in which it runs; None before.
        cut: whether the loop itself had to be cut off.
    """

    def __init__(
        self, declared: ConsumerLoop, lifecycle: Lifecycle, settle: Settle, clock: Callable[[], float] | None = None
    ) -> None:
        self.declared, self.name = declared, declared.name
        self._lifecycle, self._clock = lifecycle, clock or time.monotonic
        self.intake = Intake(declared.name, declared.concurrency, lifecycle, settle, self._clock)
        self.intake.on_room = self._rise
        self.up = self.cut = False
        self.failure: Exception | None = None
        self.task: asyncio.Task[None] | None = None
        self._failures = 0
        self._risen = 0.0
        self._turned = asyncio.Event()
        self._stopping = asyncio.Event()

    async def turn(self) -> None:
        """Wait until it has gone up or down."""
        await self._turned.wait()
        self._turned.clear()

    async def probe(self) -> None:
        """Return while it is up (the health check `consumer:NAME`).

        Raises:
            Exception: what it broke down with.
        """
        if self.failure is not None:
            raise self.failure.with_traceback(None)

    @property
    def holding(self) -> bool:
        """Return whether its loop or what it has in hand has not ended."""
        return bool(self.intake.in_hand or (self.task is not None and not self.task.done()))

    async def run(self, state: Any) -> None:
        """Run the loop, and begin it anew when it breaks down, until the service stops."""
        waking = asyncio.create_task(self._wake_at_stop(), name=f"stop of consumer {self.name}")
        try:
            while not self._lifecycle.draining:
                if (failure := await self._loop(state)) is not None:
                    self._fall(failure)
                    await self._pause()
        finally:
            waking.cancel()

    async def _loop(self, state: Any) -> Exception | None:
        """Run the loop once; return what it broke down with, None where it ended as the service stops."""
        try:
            await self.declared.function(state, self.intake)
        except BaseException as error:
            if self._cancelled():
                raise
            return error if isinstance(error, Exception) else RuntimeError(one_line(error))
        if self._lifecycle.draining:
            return None
        return RuntimeError("it came to its end though no stop had begun")

    def _cancelled(self) -> bool:
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0

    async def _wake_at_stop(self) -> None:
        await self._lifecycle.wait_draining()
        self._stopping.set()
        self.intake.wake()

    def _rise(self) -> None:
        if self.up:
            return
        if self.failure is not None and not self._lifecycle.draining:
            _log.info("lmservice.consumer_up", extra={"consumer": self.name})
        self.up, self.failure, self._risen = True, None, self._clock()
        self._turned.set()

    def _fall(self, failure: Exception) -> None:
        if self.up and self._clock() - self._risen >= LONGEST_WAIT:
            self._failures = 0
        self.up, self.failure = False, failure
        self._failures += 1
        self._turned.set()
        values = {"consumer": self.name, "error": one_line(failure)}
        _log.error("lmservice.consumer_down", exc_info=failure, extra=values)

    async def _pause(self) -> None:
        from lmservice.backoff import Backoff  # noqa: PLC0415 - tenacity costs every start what few need

        wait = max(LEAST_WAIT, Backoff(FIRST_WAIT, LONGEST_WAIT).wait(self._failures))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._stopping.wait()
