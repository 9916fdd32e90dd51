"""The header `Retry-After`: seconds, or a date (https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)."""

import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

import httpx


def retry_after(response: httpx.Response, clock: Callable[[], float] = time.time) -> float | None:
    """Return how long the server asks to be left alone, in seconds; None where it says nothing readable.

    Args:
        response: the answer.
        clock: seconds since the epoch.
    """
    header = response.headers.get("retry-after")
    if header is None:
        return None
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    date = date if date.tzinfo is not None else date.replace(tzinfo=UTC)  # "-0000": in UTC, from nowhere in particular
    return max(0.0, date.timestamp() - clock())
