"""What a forked worker makes its own, so that it is as one that has imported the program itself.

`random` seeds itself anew after a fork, OpenSSL too, and `uuid` and `secrets` ask the kernel. What a program seeds or
draws at its import for later (`numpy.random.default_rng()` in a module) is the same in all workers.
"""

import fcntl
import os
import stat
import sys
from collections.abc import Iterable

_FROM_THE_START = 3  # standard input, output and error come before


def become_own(opened: Iterable[int]) -> None:
    """Part with what the workers would share.

    Args:
        opened: the descriptors of what the program opened at its import.
    """
    _leave_standard_input()
    for number in opened:
        _reopen_for_reading(number)
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()


def _leave_standard_input() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    if null != 0:
        os.close(null)


def _reopen_for_reading(number: int) -> None:
    """Give a file that is read a position of its own; what is written at one position stays one after another."""
    try:
        flags = fcntl.fcntl(number, fcntl.F_GETFL)
        only_read = flags & os.O_ACCMODE == os.O_RDONLY and stat.S_ISREG(os.fstat(number).st_mode)
        if number < _FROM_THE_START or not only_read:
            return
        position = os.lseek(number, 0, os.SEEK_CUR)
        own = os.open(f"/proc/self/fd/{number}", flags)
        os.dup2(own, number, inheritable=False)
        os.close(own)
        os.lseek(number, position, os.SEEK_SET)
    except OSError:  # it has been closed, or may not be opened again: it stays shared
        return
