"""Children that the service's own code forks: they get none of what is the service's alone.

A child that is forked without executing another program (`multiprocessing`, `os.fork`) inherits everything, and knows
nothing of it. With the service's signal handlers `Process.terminate()` would do nothing, and `multiprocessing.Pool`
wait for good; with its listening sockets the ports would stay taken, and clients wait in a queue that nobody accepts
from; with its clients' connections those would stay open behind their end. So such a child gets the default
dispositions, and in each socket's descriptor something harmless: a freed number would be that of the next file it
opens, which what still knows the number would then close or write to.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Protocol

from lmservice.server.signals import STOPPING
from lmservice.web.listener import accepted

_HEEDED = (*STOPPING, signal.SIGUSR1)


class Descriptor(Protocol):
    """What has a descriptor that a child is not to have: a socket, for instance."""

    def fileno(self) -> int:
        """Return it; less than 0 where it is closed."""


class _Forks:
    """What this process's forks do, as long as any service runs in it; the hooks themselves cannot be taken back."""

    def __init__(self) -> None:
        self._withheld: list[Sequence[Descriptor]] = []
        self._heeding = 0
        self._masks = threading.local()
        self._hooked = False

    def withhold(self, descriptors: Sequence[Descriptor], *, signals: bool) -> None:
        self._withheld.append(descriptors)
        self._heeding += signals
        if not self._hooked:
            self._hooked = True
            os.register_at_fork(before=self._before, after_in_parent=self._restore_mask, after_in_child=self._in_child)

    def give_back(self, descriptors: Sequence[Descriptor], *, signals: bool) -> None:
        self._withheld.remove(descriptors)
        self._heeding -= signals

    def _before(self) -> None:
        """Hold signals back: one that came before the child has its own dispositions would be lost."""
        self._masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, _HEEDED) if self._heeding else None

    def _restore_mask(self) -> None:
        if self._masks.before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.before)

    def _in_child(self) -> None:
        if not self._withheld:
            return
        signal.set_wakeup_fd(-1)  # which is the parent's loop's
        for number in _HEEDED if self._heeding else ():
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        for descriptor in chain(*self._withheld, accepted()):
            _put_harmless(descriptor.fileno())
        self._withheld.clear()
        self._heeding = 0
        self._restore_mask()


def _put_harmless(number: int) -> None:
    if number < 0:
        return
    try:
        null = os.open(os.devnull, os.O_RDWR)
    except OSError:  # no descriptor is left
        with contextlib.suppress(OSError):
            os.close(number)
        return
    os.dup2(null, number, inheritable=False)
    os.close(null)


_forks = _Forks()  # as signals and descriptors are the process's


@contextlib.contextmanager
def withheld(*descriptors: Descriptor | None, signals: bool = True) -> Iterator[None]:
    """Withhold these descriptors, and the handlers of `signals`, from children that are forked meanwhile.

    Args:
        descriptors: listening sockets and the like; None is one that there is not.
        signals: whether the process's handlers are the service's: in a test they are not.
    """
    held = tuple(descriptor for descriptor in descriptors if descriptor is not None)
    _forks.withhold(held, signals=signals)
    try:
        yield
    finally:
        _forks.give_back(held, signals=signals)
