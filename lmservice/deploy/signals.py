"""The signals that end a release: each of them rolls back, as Ctrl-C does.

A runner that cancels a pipeline sends SIGTERM, some after a SIGINT; a terminal that closes sends SIGHUP.
"""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt for each, also where a shell had Ctrl-C ignored; what nohup has ignored stays so."""
    ending = [number for number in _ENDING if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGTERM]
    with _handled(dict.fromkeys([signal.SIGINT, *ending], _interrupt)):
        yield


@contextmanager
def sheltered() -> Iterator[None]:
    """Hear only another Ctrl-C on the way back: whoever sends SIGTERM or SIGHUP has asked for this already."""
    with _handled(dict.fromkeys(_ENDING, signal.SIG_IGN)):
        yield


@contextmanager
def _handled(handlers: Mapping[signal.Signals, Any]) -> Iterator[None]:
    """Set handlers, which only the main thread may; elsewhere they stay as they are."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt
