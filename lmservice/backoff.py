"""When another attempt follows a failed one, and after how long: what `retry`, start-up jobs and the client share.

tenacity draws the waits and makes the attempts; this says when to stop, on whose clock, and whom to tell.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tenacity import AsyncRetrying, RetryCallState, Retrying, wait_random_exponential

INITIAL = 0.1
"""The end of the range from which the wait before the second attempt is drawn, in seconds; it doubles each time."""
LONGEST = 5.0
"""The end of that range at most, in seconds."""

T = TypeVar("T")
Predicate = Callable[[Exception], bool]
OnRetry = Callable[[Exception, int, float], None]
"""A function that is called before each wait: with the error, the attempts so far, and the wait in seconds."""


class Backoff:
    """Exponential waits with full jitter.

    Args:
        initial: the wait after the first attempt is drawn from 0 to this, in seconds; the range doubles each time.
        longest: the range's end, in seconds.
        least: the range's begin, in seconds.
    """

    def __init__(self, initial: float, longest: float, least: float = 0.0) -> None:
        self.tenacitys = wait_random_exponential(multiplier=initial, max=longest, min=least)

    def wait(self, attempt: int) -> float:
        """Return how long to wait after so many attempts, in seconds."""
        call = RetryCallState(None, None, (), {})  # type: ignore[arg-type] # it reads the number alone
        call.attempt_number = attempt
        return self.tenacitys(call)


class Rules:
    """When another attempt follows, and after how long.

    Args:
        on: whether an error may pass.
        attempts: how often at most; `math.inf` sets no limit.
        timeout: no attempt begins later than so long after the first, in seconds; None sets no limit.
        backoff: the waits in between.
    """

    def __init__(self, on: Predicate, attempts: float, timeout: float | None, backoff: Backoff) -> None:
        self.on = on
        self._attempts, self._timeout, self._backoff = attempts, timeout, backoff

    async def resume(self, failed: Exception, began: float, work: Callable[[], Awaitable[T]], on_retry: OnRetry) -> T:
        """Go on after a first attempt that began then, on the loop's clock, and `failed`; return what `work` returns.

        Raises:
            Exception: the last attempt's, as it is.
        """
        left = [failed]

        async def attempt() -> T:
            if left:
                raise left.pop()
            return await work()

        retrying = AsyncRetrying(**self.arguments(began, asyncio.get_running_loop().time, on_retry))
        return await retrying(attempt)

    def resume_plain(self, failed: Exception, began: float, work: Callable[[], T], on_retry: OnRetry) -> T:
        """Do the same for a plain function, on `time.monotonic`."""
        left = [failed]

        def attempt() -> T:
            if left:
                raise left.pop()
            return work()

        return Retrying(**self.arguments(began, time.monotonic, on_retry))(attempt)

    def arguments(self, began: float, clock: Callable[[], float], on_retry: OnRetry) -> dict[str, Any]:
        """Return tenacity's arguments for attempts of which the first began then."""

        def stop(call: RetryCallState) -> bool:
            late = self._timeout is not None and clock() + call.upcoming_sleep > began + self._timeout
            return call.attempt_number >= self._attempts or late

        def before_sleep(call: RetryCallState) -> None:
            error = _error(call)
            if error is not None and call.next_action is not None:
                on_retry(error, call.attempt_number, call.next_action.sleep)

        def again(call: RetryCallState) -> bool:
            error = _error(call)
            return error is not None and self.on(error)

        kept = {"reraise": True, "wait": self._backoff.tenacitys}
        return {**kept, "stop": stop, "retry": again, "before_sleep": before_sleep}


def _error(call: RetryCallState) -> Exception | None:
    """Return what an attempt failed with, where that is an `Exception`; a cancellation is none."""
    error = call.outcome.exception() if call.outcome is not None else None
    return error if isinstance(error, Exception) else None
