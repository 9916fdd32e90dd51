"""Signals: SIGTERM, SIGINT and SIGHUP come through the lifecycle's door, SIGUSR1 has the stacks logged.

SIGHUP is what a terminal says as it goes. It stops a service as SIGTERM does, unless it was ignored at the start, which
is how `nohup` asks for it to be.
"""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Protocol

from lmservice.errors import ExitCode
from lmservice.lifecycle import Lifecycle, StopCause

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""The signals that stop a service."""


def heeded() -> tuple[signal.Signals, ...]:
    """Return those of them that the process heeds: SIGHUP only where it was not ignored at the start."""
    ignores_hangups = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return tuple(number for number in STOPPING if number != signal.SIGHUP or not ignores_hangups)


def heed_none() -> None:
    """Leave what stops a service to another process, which a terminal or an init system may have told as well.

    By handlers, as a process started from here would inherit that they are ignored. They may have been blocked until
    now.
    """
    for number in heeded():
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)


class Served(Protocol):
    """What runs to its end on an event loop, stopped by signals.

    Attributes:
        leaving: whether its end is decided, so that no signal changes it any longer.
    """

    lifecycle: Lifecycle
    leaving: bool

    async def serve(self) -> ExitCode:
        """Live its whole life."""

    def log_stacks(self) -> None:
        """Log where every task and thread is."""


@contextlib.contextmanager
def signals(instance: Served) -> Iterator[None]:
    """Heed signals until the clean-up begins; ignore them from there on, to the process's end."""
    interrupts = 0

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal interrupts
        if instance.leaving:
            return
        if number != signal.SIGINT:
            instance.lifecycle.stop(StopCause(signal.Signals(number).name))
            return
        interrupts += 1
        if interrupts > 1:
            instance.lifecycle.force()
        elif not instance.lifecycle.stop(StopCause("SIGINT", hurried=True)):
            instance.lifecycle.hurry()

    stopping = heeded()
    for number in stopping:
        signal.signal(number, handle)
    signal.signal(signal.SIGUSR1, lambda *_: instance.log_stacks())
    yield
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    for number in stopping:  # restored handlers would let a late one change the exit code
        signal.signal(number, signal.SIG_IGN)
