"""`retry`: another attempt at what fails in a way that may pass, after a wait with full jitter, by tenacity.

The first attempt costs next to nothing; tenacity comes in once that has failed, as if it had made it.
"""

import asyncio
import inspect
import logging
import math
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from functools import wraps
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from tenacity import AsyncRetrying, AttemptManager, Retrying

from lmservice import names
from lmservice.backoff import INITIAL, LONGEST, Backoff, OnRetry, Predicate, Rules
from lmservice.errors import RetryDefinitionError
from lmservice.telemetry.labels import Label
from lmservice.telemetry.metrics import current_registry, shared_collector

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

NAME = names.RETRIES.removesuffix("_total")

F = TypeVar("F", bound=Callable[..., Any])

_log = logging.getLogger("lmservice.retrying")


def retry(
    *,
    on: type[Exception] | tuple[type[Exception], ...] | Predicate,
    attempts: int = 5,
    timeout: float | None = 45.0,
    wait_initial: float = INITIAL,
    wait_max: float = LONGEST,
    name: str | None = None,
    registry: "CollectorRegistry | None" = None,
) -> "Retry":
    """Repeat what fails in a way that may pass: a decorator, and an iterator of attempts.

    As a decorator it takes coroutine functions and plain ones. As an iterator, in coroutines with `async for` (plain
    functions and a plain `for` wait by sleeping, which is for threads):

        async for attempt in retry(on=ConnectionError):
            with attempt:
                await connect()

    The last attempt's error comes through as it is, as does any that `on` does not name. Each retry is logged, and
    counted in `lmservice_retries_total{name}`.

    Args:
        on: the exceptions that may pass, a class or a tuple of classes; or a function that is given the exception and
            says whether it may. What is no `Exception`, as a cancellation, is never repeated.
        attempts: how often it is tried, in all.
        timeout: no attempt begins later than so long after the first, in seconds; it cuts off none that has begun.
            None sets no limit.
        wait_initial: the wait before the second attempt is drawn from 0 to this, in seconds; the range doubles each
            time …
        wait_max: … up to this.
        name: the value of the metric's label; default the name of the function that is repeated or iterates.
        registry: where the metric goes; default that of the service that the code runs in, or prometheus_client's own.

    Raises:
        RetryDefinitionError: `on` is neither, or a number makes no sense.
    """
    _check_numbers(attempts=attempts, timeout=timeout, wait_initial=wait_initial, wait_max=wait_max)
    return Retry(Rules(_predicate(on), attempts, timeout, Backoff(wait_initial, wait_max)), name, registry)


class Retry:
    """What `retry` gives; may be used any number of times, and by several tasks at once."""

    def __init__(self, rules: Rules, name: str | None, registry: "CollectorRegistry | None") -> None:
        self._rules, self._name, self._registry = rules, name, registry

    def __call__(self, function: F) -> F:
        """Decorate a coroutine function or a plain one.

        Raises:
            RetryDefinitionError: it is a generator, or nothing that can be called.
        """
        generates = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
        if generates or not _is_callable(function):
            raise RetryDefinitionError(f"retry decorates functions and coroutine functions, which {function!r} is not")
        module, name = (
            getattr(function, attribute, type(function).__name__) for attribute in ("__module__", "__qualname__")
        )
        decorate = self._coroutine if _is_coroutine_function(function) else self._plain
        return cast("F", decorate(function, self._on_retry(f"{module}.{name}")))

    def __aiter__(self) -> AsyncIterator["Attempt"]:
        on_retry = self._on_retry(_caller(sys._getframe(1)))  # noqa: SLF001 - names the metric
        return _Attempts(self._rules, on_retry, asyncio.get_running_loop().time)

    def __iter__(self) -> Iterator["Attempt"]:
        on_retry = self._on_retry(_caller(sys._getframe(1)))  # noqa: SLF001 - the same
        return _Attempts(self._rules, on_retry, time.monotonic)

    def _coroutine(self, function: Callable[..., Awaitable[Any]], on_retry: OnRetry) -> Callable[..., Awaitable[Any]]:
        rules = self._rules

        @wraps(function)
        async def repeated(*args: Any, **kwargs: Any) -> Any:
            began = asyncio.get_running_loop().time()
            try:
                return await function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - comes through where it is not to be repeated
                failed = error
            return await rules.resume(failed, began, lambda: function(*args, **kwargs), on_retry)

        return repeated

    def _plain(self, function: Callable[..., Any], on_retry: OnRetry) -> Callable[..., Any]:
        rules = self._rules

        @wraps(function)
        def repeated(*args: Any, **kwargs: Any) -> Any:
            began = time.monotonic()
            try:
                return function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - comes through where it is not to be repeated
                failed = error
            return rules.resume_plain(failed, began, lambda: function(*args, **kwargs), on_retry)

        return repeated

    def _on_retry(self, default: str) -> OnRetry:
        name = self._name or default

        def on_retry(error: Exception, attempt: int, wait: float) -> None:
            registry = current_registry() if self._registry is None else self._registry
            shared_collector(registry, NAME, _Retries).count(name)
            text = "".join(traceback.format_exception_only(error)).strip()
            values = {"retry": name, "attempt": attempt, "wait": round(wait, 3), "error": text}
            _log.warning("lmservice.retry", extra=values)

        return on_retry


class Attempt:
    """One attempt of an iteration, to be made in a `with`.

    Attributes:
        number: 1 for the first.
        failed: the exception that it ended with, which has not come through yet.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.failed: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.failed = error if isinstance(error, Exception) else None
        return self.failed is not None


class _Attempts:
    """The attempts of one iteration; tenacity's, from the first failure on.

    Args:
        clock: of the loop where the waits are its, else of the process.
    """

    def __init__(self, rules: Rules, on_retry: OnRetry, clock: Callable[[], float]) -> None:
        self._rules, self._on_retry, self._clock = rules, on_retry, clock
        self._began = clock()
        self._last: Attempt | None = None
        self._tenacitys: Any = None
        self._attempt: AttemptManager

    def __aiter__(self) -> Self:
        return self

    def __iter__(self) -> Self:
        return self

    async def __anext__(self) -> Attempt:
        failed = self._failed(StopAsyncIteration)
        if failed is not None:
            if self._tenacitys is None:
                self._tenacitys = aiter(AsyncRetrying(**self._arguments()))
                self._attempt = await anext(self._tenacitys)
            self._attempt.__exit__(type(failed), failed, failed.__traceback__)
            self._attempt = await anext(self._tenacitys)
        return self._next()

    def __next__(self) -> Attempt:
        failed = self._failed(StopIteration)
        if failed is not None:
            if self._tenacitys is None:
                self._tenacitys = iter(Retrying(**self._arguments()))
                self._attempt = next(self._tenacitys)
            self._attempt.__exit__(type(failed), failed, failed.__traceback__)
            self._attempt = next(self._tenacitys)
        return self._next()

    def _failed(self, stop: type[Exception]) -> Exception | None:
        """Return what the last attempt ended with; None where there was none yet.

        Raises:
            stop: it succeeded.
        """
        if self._last is None:
            return None
        if self._last.failed is None:
            raise stop
        return self._last.failed

    def _next(self) -> Attempt:
        self._last = Attempt(1 if self._last is None else self._last.number + 1)
        return self._last

    def _arguments(self) -> dict[str, Any]:
        return self._rules.arguments(self._began, self._clock, self._on_retry)


class _Retries:
    """The counter of one registry, whose names are bounded."""

    def __init__(self) -> None:
        from prometheus_client import Counter  # noqa: PLC0415 - costs every start what few need

        self._counter = Counter(NAME, "Attempts that followed one that had failed.", ("name",), registry=None)
        self._label = Label("name", "names of retries")

    def count(self, name: str) -> None:
        self._counter.labels(self._label.value(name)).inc()

    def describe(self) -> "Iterable[Metric]":
        return self._counter.describe()

    def collect(self) -> "Iterable[Metric]":
        return self._counter.collect()


def _predicate(on: Any) -> Predicate:
    classes = on if isinstance(on, tuple) else (on,)
    if classes and all(isinstance(kind, type) and issubclass(kind, Exception) for kind in classes):
        return lambda error: isinstance(error, classes)
    if callable(on) and not isinstance(on, type):
        return cast("Predicate", on)
    raise RetryDefinitionError(
        f"on= of retry is {on!r}: it must be a class of Exception, a tuple of such, or a function that is given one"
    )


def _is_callable(function: object) -> bool:
    return callable(function)


def _is_coroutine_function(function: Any) -> bool:
    """Return whether a call gives a coroutine; a callable object says so by its `__call__`."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _check_numbers(*, attempts: Any, **seconds: Any) -> None:
    if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
        raise RetryDefinitionError(f"attempts= of retry is {attempts!r}: it must be a whole number, at least 1")
    for name, value in seconds.items():
        if value is None and name == "timeout":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value >= 0):
            raise RetryDefinitionError(f"{name}= of retry is {value!r}: it must be a number of seconds, at least 0")


def _caller(frame: FrameType) -> str:
    """Return the name of the function that iterates: there are as many as there is code."""
    return f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_qualname}"
