"""Standard output, written to without ever waiting long for whoever reads it.

A pipe whose reader has stopped would block the event loop, and with it every request. So a line waits for its place
for `PATIENCE` at the most; from then on lines are dropped, and counted, until there is room again.
"""

import contextlib
import os
import select
import stat
import sys
import threading

PATIENCE = 1.0
"""How long a line may wait for its place, in seconds."""


class Output:
    """Whatever `sys.stdout` is at the moment of each line."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._out: object = None
        self._descriptor: int | None = None
        self._can_block = False
        self._blocked = False
        self._rest = b""
        self.dropped = 0
        """Lines that have found no place."""

    def write(self, line: bytes) -> None:
        """Writes one line, whole or not at all; never raises."""
        with self._lock, contextlib.suppress(OSError, ValueError, AttributeError):
            if sys.stdout is not self._out:
                self._look_at(sys.stdout)
            if self._descriptor is None:
                sys.stdout.buffer.write(line)
                return
            sys.stdout.flush()
            if self._can_block:
                self._put(self._descriptor, line)
            else:
                os.write(self._descriptor, line)

    def _look_at(self, out: object) -> None:
        self._out, self._descriptor, self._rest = out, None, b""
        with contextlib.suppress(OSError, ValueError, AttributeError):  # a stand-in has no file behind it
            self._descriptor = sys.stdout.fileno()
            self._can_block = not stat.S_ISREG(os.fstat(self._descriptor).st_mode)

    def _put(self, descriptor: int, line: bytes) -> None:
        """Ends the line that has begun before, then writes this one as far as there is room."""
        patience = 0 if self._blocked else PATIENCE
        self._rest = _fill(descriptor, self._rest, patience)
        left = line if self._rest else _fill(descriptor, line, patience)
        self._blocked = bool(left)
        if len(left) == len(line):
            self.dropped += 1
        elif left:
            self._rest = left


def _fill(descriptor: int, data: bytes, patience: float) -> bytes:
    """Writes a page at a time, which a pipe that polls as writable takes without blocking; gives what is left."""
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    while data and poller.poll(patience * 1000):
        data = data[os.write(descriptor, data[: select.PIPE_BUF]) :]
    return data
