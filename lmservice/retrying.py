"""Waiting between attempts: exponential backoff with full jitter, by tenacity."""

from collections.abc import Callable

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_random_exponential

INITIAL = 0.1
"""The wait before the second attempt is drawn from 0 to this, in seconds; the range doubles each time, …"""
LONGEST = 5.0
"""… up to this."""


def attempts(count: int, *, before_sleep: Callable[[BaseException, float], None]) -> AsyncRetrying:
    """Up to `count` attempts at what raises an `Exception`; the last one's error comes through as it is.

    Args:
        count: attempts in all.
        before_sleep: called with the error and the wait in seconds, whenever another attempt follows.
    """

    def tell(call: RetryCallState) -> None:
        error = call.outcome.exception() if call.outcome else None
        if error is not None and call.next_action is not None:
            before_sleep(error, call.next_action.sleep)

    return AsyncRetrying(
        stop=stop_after_attempt(count),
        wait=wait_random_exponential(multiplier=INITIAL, max=LONGEST),
        retry=retry_if_exception_type(Exception),
        before_sleep=tell,
        reraise=True,
    )
