"""Commands: functions that run once, with the start-up jobs that they need, and then the process ends.

For migrations, imports and the like, by Kubernetes' Jobs and CronJobs: https://kubernetes.io/docs/concepts/workloads/controllers/job/.
"""

import asyncio
import inspect
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from lmservice.errors import ServiceDefinitionError, UsageError, one_line
from lmservice.jobs.arguments import must_be_name
from lmservice.jobs.callables import Registered
from lmservice.jobs.startup_graph import Job
from lmservice.lifecycle import CutOff
from lmservice.telemetry import context

F = TypeVar("F", bound=Callable[..., Any])

_log = logging.getLogger("lmservice.commands")


class Command(NamedTuple):
    """A command as it was declared.

    Attributes:
        function: a coroutine function or a plain one; of the state, or of nothing.
        takes_words: whether it also has a parameter `words`.
        after: the start-up jobs that it needs, by name.
    """

    name: str
    function: Callable[..., Any]
    takes_words: bool
    after: tuple[str, ...] = ()

    def called_with(self, words: Sequence[str]) -> Registered:
        """Return it as it is called with the words that follow its name.

        Raises:
            UsageError: it takes none.
        """
        if not self.takes_words:
            if words:
                raise UsageError(f"command {self.name!r} takes no words, as its function has no parameter 'words'")
            return Registered(self.function, self.name, what="command")
        return Registered(partial(self.function, words=list(words)), self.name, what="command")

    def needs(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the start-up jobs that it comes after, and those that they come after, in their order."""
        by_name = {job.name: job for job in jobs}
        needed: set[str] = set()
        left = list(self.after)
        while left:
            name = left.pop()
            if name not in needed:
                needed.add(name)
                left += by_name[name].after
        return [job for job in jobs if job.name in needed]


class Commanding:
    """The half of `Service` that declares commands.

    Attributes:
        commands: as they were declared, their names all different.
    """

    commands: list[Command]

    def command(self, *, name: str | None = None, after: Sequence[str] = ()) -> Callable[[F], F]:
        """Register a command for `lmservice job`: a coroutine function or a plain one; a decorator.

        It takes the state, or nothing, and, where it has a parameter `words`, the list of words behind its name. What
        it raises is logged, and makes the exit code 1. Of the service only the start-up jobs run that it needs.

        Args:
            name: by which it is called; default the function's name.
            after: the start-up jobs that it needs, by name; those that they come after run too.

        Raises:
            ServiceDefinitionError: the function is of no kind that can be a command, or two have one name.
        """

        def register(function: F) -> F:
            must_be_name(name, "command")
            takes_words = _takes_words(function)
            bound = partial(function, words=[]) if takes_words else function
            label = Registered(bound, name, what="command").name
            if isinstance(after, str):
                raise ServiceDefinitionError(f"after= of command {label!r} is a list: [{after!r}]")
            if any(other.name == label for other in self.commands):
                raise ServiceDefinitionError(f"two commands are named {label!r}: give one another name=")
            self.commands.append(Command(label, function, takes_words, tuple(after)))
            return function

        return register


def _takes_words(function: Any) -> bool:
    return callable(function) and not inspect.isclass(function) and "words" in inspect.signature(function).parameters


class CommandRun:
    """The one run of a command (`Drainable`).

    Args:
        registered: the function, with its words.
        on_end: told what it raised, None where nothing, when it has ended by itself.

    Attributes:
        ended: whether it has.
    """

    def __init__(self, registered: Registered, on_end: Callable[[BaseException | None], None]) -> None:
        self._registered, self._on_end = registered, on_end
        self.ended = False
        self._cut = False
        self._task: asyncio.Task[None] | None = None

    def begin(self, state: Any) -> None:
        """Begin it; `state` is what the start-up jobs have made."""
        self._task = asyncio.create_task(self._run(state), name=f"command {self._registered.name}")

    async def _run(self, state: Any) -> None:
        name, began = self._registered.name, time.monotonic()
        with context.span(f"command {name}", attributes={"lmservice.command": name}) as span:
            try:
                await self._registered.call(state)
                error: BaseException | None = None
            except BaseException as raised:  # noqa: BLE001 - it is the command's, SystemExit among it
                error = raised
                span.fail(type(raised).__name__)
        if self._cut and error is not None:
            return
        self.ended = True
        values = {"command": name, "seconds": round(time.monotonic() - began, 3)}
        if error is None:
            _log.info("lmservice.command_done", extra=values)
        else:
            _log.error("lmservice.command_failed", exc_info=error, extra={**values, "error": one_line(error)})
        self._on_end(error)

    def holding(self) -> bool:
        """Return whether it is under way."""
        return self._task is not None and not self._task.done()

    async def cut_off(self, patience: float, limit: str) -> CutOff:
        """Cancel it, give it `patience` seconds to end, and tell that it was cut off by `limit`."""
        task = self._task
        if task is None or task.done():
            return CutOff()
        self._cut = True
        task.cancel()
        await asyncio.wait([task], timeout=patience)
        if self.ended:
            return CutOff(1)
        left = "its thread" if self._registered.threads else "" if task.done() else "it"
        behind = f"; {left} did not end and is left behind" if left else ""
        problem = f"command {self._registered.name!r} was cut off by {limit}{behind}"
        _log.error("lmservice.command_cut_off", extra={"command": self._registered.name, "error": problem})
        return CutOff(1, int(not task.done()), (problem,))
