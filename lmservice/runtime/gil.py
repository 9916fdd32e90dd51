"""The interpreter's lock, handed over more often while a thread beside the event loop has much to compute.

They take turns: of two that compute at once, the one would get the lock that the other hands over.

A thread that renders a hundred thousand series keeps the lock for the switch interval, 5 ms, each time that it gets
it; the event loop of the service asks for the lock several times for each request, and waits that long each time.
"""

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

INTERVAL = 0.00002
"""How long a thread keeps the lock that another waits for, in seconds."""
STRETCH = 0.00015
"""How long it computes at a stretch, in seconds, …"""
PAUSE = 0.0001
"""… before it steps aside for so long, to which the kernel adds its timer slack, 50 µs."""

T = TypeVar("T")

_lock = threading.Lock()
_turn = threading.Lock()
_sharing = 0
_before = 0.0


@contextmanager
def frequent_switches() -> Iterator[None]:
    """Wait for its turn; the lock is handed over every `INTERVAL` seconds until the last that asked leaves."""
    global _sharing, _before  # noqa: PLW0603 - as the interpreter's own interval is one for all
    with _lock:
        if _sharing == 0:
            _before = sys.getswitchinterval()
            sys.setswitchinterval(min(INTERVAL, _before))
        _sharing += 1
    try:
        with _turn:
            yield
    finally:
        with _lock:
            _sharing -= 1
            if _sharing == 0:
                sys.setswitchinterval(_before)


def yielding(items: Iterable[T]) -> Iterator[T]:
    """Pass on what takes long to compute, and step aside now and then.

    A kernel may let a thread that computes have its core until the next tick, 4 ms later, whoever waits for that core.
    """
    due = time.monotonic() + STRETCH
    for item in items:
        yield item
        if time.monotonic() >= due:
            time.sleep(PAUSE)
            due = time.monotonic() + STRETCH
