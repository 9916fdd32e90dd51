"""`ClientPolicy`: how long a client waits, how often it tries again, and when it gives a host a rest."""

import math
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any

from lmservice.errors import ClientDefinitionError

IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))
"""https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2"""
UNAVAILABLE = frozenset((502, 503, 504))

_POSITIVE = frozenset(("timeout", "deadline", "breaker_window", "breaker_open"))
_WHOLE = frozenset(("attempts", "breaker_minimum_calls"))
_RATIOS = frozenset(("breaker_failure_ratio",))
_STATUSES = range(100, 600)


@dataclass(frozen=True, kw_only=True)
class ClientPolicy:
    """What bounds the calls of one client; times are in seconds.

    Attributes:
        timeout: what one attempt may take, connecting and reading the whole answer included, by the clock.
        deadline: what a call may take with all its attempts and the waits in between; that of the request under way
            bounds it too.
        attempts: how often a call is made at most.
        backoff_initial: the wait before the second attempt is drawn from 0 to this; the range doubles each time, …
        backoff_max: … up to this. A `Retry-After` may ask for more.
        retry_statuses: answers that are asked for again. 429 is too, where it brings a `Retry-After`.
        retry_methods: the methods that are repeated, after a connection that failed or an attempt that took too long
            as after such an answer; default the idempotent ones. Any other is sent once, whatever comes of it.
        budget_ratio: how many retries each call to a host earns.
        budget_floor: how many retries a second a host is granted beside those.
        breaker_failure_ratio: a host's breaker opens when at least this part of its attempts failed, …
        breaker_minimum_calls: … of at least so many; more than there ever are turns it off.
        breaker_window: … that ended within so long.
        breaker_open: for how long it stays open before it lets one attempt through to see.

    Raises:
        ClientDefinitionError: a value is of the wrong kind or past its limit; names the field, the value, the limit.
    """

    timeout: float = 2.0
    deadline: float = 5.0
    attempts: int = 3
    backoff_initial: float = 0.1
    backoff_max: float = 2.0
    retry_statuses: Collection[int] = UNAVAILABLE
    retry_methods: Collection[str] = IDEMPOTENT
    budget_ratio: float = 0.2
    budget_floor: float = 10.0
    breaker_failure_ratio: float = 0.5
    breaker_minimum_calls: int = 10
    breaker_window: float = 10.0
    breaker_open: float = 10.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name not in ("retry_statuses", "retry_methods"):
                _check_number(field.name, getattr(self, field.name))
        statuses, methods = _collected(self, "retry_statuses", int), _collected(self, "retry_methods", str)
        if wrong := [status for status in statuses if status not in _STATUSES]:
            raise _wrong("retry_statuses", wrong[0], "a status is from 100 to 599")
        object.__setattr__(self, "retry_statuses", statuses)
        object.__setattr__(self, "retry_methods", frozenset(method.upper() for method in methods))


def _check_number(name: str, value: Any) -> None:
    whole = name in _WHOLE
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise _wrong(name, value, "it must be a whole number" if whole else "it must be a number")
    if whole and value < 1:
        raise _wrong(name, value, "it must be at least 1")
    if not math.isfinite(value) or value < 0:
        raise _wrong(name, value, "it must be finite, and not below 0")
    if name in _POSITIVE and value == 0:
        raise _wrong(name, value, "it must be more than 0 seconds")
    if name in _RATIOS and not 0 < value <= 1:
        raise _wrong(name, value, "it must be more than 0, and at most 1")


def _collected(policy: ClientPolicy, name: str, kind: type) -> frozenset[Any]:
    value = getattr(policy, name)
    if isinstance(value, str | bytes) or not isinstance(value, Collection):
        raise _wrong(name, value, "it must be a set")
    for item in value:
        if not isinstance(item, kind) or isinstance(item, bool):
            raise _wrong(name, item, f"each must be of type {kind.__name__}")
    return frozenset(value)


def _wrong(name: str, value: object, limit: str) -> ClientDefinitionError:
    return ClientDefinitionError(f"ClientPolicy.{name} is {value!r}: {limit}")
