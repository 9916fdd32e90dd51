"""The functions that a service's author registers: of which kind each is, and how it is called.

A coroutine function, a plain function (run in a worker thread) or, where that is allowed, an async generator; it
takes the `state`, or nothing.
"""

import functools
import inspect
import sys
from collections.abc import AsyncGenerator, Callable
from enum import Enum, auto
from typing import Any

from lmservice.errors import ServiceDefinitionError
from lmservice.runtime.threads import run_in_thread


class Kind(Enum):
    """What a registered function is."""

    COROUTINE = auto()
    GENERATOR = auto()
    PLAIN = auto()


class Registered:
    """A function as it was registered.

    Raises:
        ServiceDefinitionError: it is of no kind that is allowed here, or takes more than the state.
    """

    def __init__(self, function: Callable[..., Any], name: str | None, *, what: str, generators: bool = False) -> None:
        self.name = name or getattr(_innermost(function), "__name__", "") or type(function).__name__
        self.function = function
        self.kind = _kind(function, f"{what} {self.name!r}", generators=generators)
        self._takes_state = _takes_state(function, f"{what} {self.name!r}")
        self._running: set[object] = set()  # not a number, of which a free-threaded Python loses changes

    @property
    def threads(self) -> int:
        """Return how many threads run it now, those that nobody waits for any longer among them."""
        return len(self._running)

    def generator(self, state: Any) -> AsyncGenerator[Any, None]:
        """Return the async generator itself, not begun."""
        generator: AsyncGenerator[Any, None] = self.function(*self._arguments(state))
        return generator

    async def call(self, state: Any) -> Any:
        """Call a coroutine function here, a plain one in a thread of its own."""
        if self.kind is Kind.COROUTINE:
            return await self.function(*self._arguments(state))
        run = object()
        self._running.add(run)
        return await run_in_thread(self._counted, run, *self._arguments(state), name=self.name)

    def _counted(self, run: object, *arguments: Any) -> Any:
        try:
            return self.function(*arguments)
        finally:
            self._running.discard(run)

    def _arguments(self, state: Any) -> tuple[Any, ...]:
        return (state,) if self._takes_state else ()


def _innermost(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _kind(function: Any, label: str, *, generators: bool) -> Kind:
    allowed = "a coroutine function (async def), a plain function" + (" or an async generator" if generators else "")
    inner = _innermost(function)
    if not callable(inner) or inspect.isclass(inner):
        raise ServiceDefinitionError(f"{label} is {_description(function)}: register {allowed}")
    target = inner if inspect.isroutine(inner) else inner.__call__
    if inspect.isasyncgenfunction(target):
        if not generators:
            raise ServiceDefinitionError(f"{label} is an async generator, which never ends here: register {allowed}")
        return Kind.GENERATOR
    if inspect.isgeneratorfunction(target):
        raise ServiceDefinitionError(f"{label} is a plain generator: write it as 'async def', or return a value")
    return Kind.COROUTINE if inspect.iscoroutinefunction(target) else Kind.PLAIN


def _description(function: Any) -> str:
    return f"the class {function.__name__}" if inspect.isclass(function) else f"{function!r}, which cannot be called"


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return how it is called, its annotations as strings: types that exist for a type checker alone stay unread."""
    if sys.version_info >= (3, 14):  # before, they were evaluated as the function was defined
        from annotationlib import Format  # noqa: PLC0415 - PEP 749

        return inspect.signature(function, annotation_format=Format.STRING)
    return inspect.signature(function)


def _takes_state(function: Callable[..., Any], label: str) -> bool:
    try:
        signature = _signature(function)
    except (TypeError, ValueError):  # a builtin that does not say
        return True
    for arguments in ((object(),), ()):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return bool(arguments)
    raise ServiceDefinitionError(f"{label} takes {signature}: let it take one argument, the state, or none")
