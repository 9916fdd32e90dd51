"""Standard output, written to without ever waiting long for whoever reads it.

A pipe whose reader has stopped would block the event loop, and with it every request. So a line waits for its place
for `PATIENCE` at the most; from then on lines are dropped, and counted, until there is room again. A `print` of the
app's own may block all the same; then the threads that write lines do not wait for it.
"""

import contextlib
import fcntl
import os
import select
import stat
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 1.0
"""The longest that a line waits for its place, in seconds."""
LOCK_STEP = 0.00005
"""The pause between two looks at a lock that another process has, in seconds."""


class Output:
    """Whatever `sys.stdout` is at the moment of each line.

    Attributes:
        pending: lines that may wait for the next `flush` or `write`; to be appended to, from any thread.
        dropped: how many lines have found no place.
        observers: get all lines as well, as they are written.
        lock: the descriptor of a file that all processes have which write to the same output; None for one alone.
    """

    def __init__(self) -> None:
        self.pending: list[str] = []
        self.dropped = 0
        self.lock: int | None = None
        self.observers: list[Callable[[bytes], None]] = []
        self._lock = threading.RLock()
        self._out: object = None
        self._descriptor: int | None = None
        self._can_block = False
        self._blocked = self._stuck = False
        self._rest = b""

    @property
    def behind(self) -> bool:
        """Return whether something waits to be written: lines that are pending, or the end of one that has begun."""
        return bool(self.pending or self._rest)

    def flush(self) -> None:
        """Write the lines that are pending."""
        self.write(b"")

    def write(self, line: bytes) -> None:
        """Write what is pending, then one line, each line whole or not at all; never raises."""
        self._stuck = not self._lock.acquire(timeout=0 if self._stuck else PATIENCE)
        if self._stuck:
            self.dropped += bool(line)
            return
        try:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                self._write(line)
        finally:
            self._lock.release()

    def _write(self, line: bytes) -> None:
        if sys.stdout is not self._out:
            self._look_at(sys.stdout)
        lines = self._take_pending() + line
        for observe in self.observers:
            observe(lines)
        if self._descriptor is None:
            sys.stdout.buffer.write(lines)
        elif self._can_block:
            if _has_room(self._descriptor, 0):  # for what was printed
                sys.stdout.flush()
            if self.lock is None:
                self._put(self._descriptor, lines)
            elif lines or self._rest:
                self._put_between_others(self.lock, self._descriptor, lines)
        else:
            sys.stdout.flush()
            if lines:
                os.write(self._descriptor, lines)

    def _take_pending(self) -> bytes:
        count = len(self.pending)  # what another thread appends meanwhile stays
        lines = "".join(self.pending[:count]).encode()
        del self.pending[:count]
        return lines

    def _look_at(self, out: object) -> None:
        self._out, self._descriptor, self._rest = out, None, b""
        with contextlib.suppress(OSError, ValueError, AttributeError):  # a stand-in has no file behind it
            self._descriptor = sys.stdout.fileno()
            self._can_block = not stat.S_ISREG(os.fstat(self._descriptor).st_mode)
            _let_prints_be_whole(sys.stdout)

    def _put_between_others(self, lock: int, descriptor: int, lines: bytes) -> None:
        """Write while no other process does: it could take the room that has been seen, or come between two pages."""
        if not _locked(lock, 0 if self._blocked else PATIENCE):
            self._blocked = True
            self.dropped += lines.count(b"\n")
            return
        try:
            self._put(descriptor, lines)
        finally:
            if not self._rest:  # else others would go on in the middle of a line
                fcntl.lockf(lock, fcntl.LOCK_UN)

    def _put(self, descriptor: int, lines: bytes) -> None:
        """End the line that has begun before, then write these as far as there is room; drop the others whole."""
        patience = 0 if self._blocked else PATIENCE
        self._rest = _fill(descriptor, self._rest, patience)
        left = lines if self._rest else _fill(descriptor, lines, patience)
        self._blocked = bool(left or self._rest)
        begun = len(left) < len(lines) and lines[-len(left) - 1 : -len(left)] != b"\n" if left else False
        if begun:
            self._rest, _, left = left.partition(b"\n")
            self._rest += b"\n"
        self.dropped += left.count(b"\n")


def _let_prints_be_whole(out: Any) -> None:
    """Keep prints whole: under `PYTHONUNBUFFERED` another line could come between one and its line end."""
    if out.write_through and not out.isatty():
        out.reconfigure(line_buffering=True, write_through=False)


def _fill(descriptor: int, data: bytes, patience: float) -> bytes:
    """Write a page at a time, which a pipe that polls as writable takes without blocking; return what is left."""
    while data and _has_room(descriptor, patience):
        page = data[: select.PIPE_BUF]
        data = data[os.write(descriptor, page[: page.rfind(b"\n") + 1] or page) :]  # a line, unless longer, at once
    return data


def _locked(lock: int, patience: float) -> bool:
    """Lock for this process; false where another has kept the lock for `patience` seconds."""
    due = time.monotonic() + patience
    while True:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # either, as POSIX has it
            if time.monotonic() >= due:
                return False
            time.sleep(LOCK_STEP)
        else:
            return True


def _has_room(descriptor: int, patience: float) -> bool:
    """Return whether a page can be written without blocking, within `patience` seconds."""
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    return bool(poller.poll(patience * 1000))
