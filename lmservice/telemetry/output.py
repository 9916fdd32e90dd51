"""Standard output, written to without waiting for whoever reads it.

A pipe whose reader is slow would block the event loop, and with it every request. So a line is written at once where
there is room for it; what finds none waits in a backlog, up to `BACKLOG` bytes in all, which a thread of its own writes
as the reader takes it. Past that, lines are dropped whole, and counted. A `print` of the app's own may block all the
same; then the threads that write lines do not wait for it.
"""

import contextlib
import fcntl
import os
import select
import stat
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from lmservice.telemetry.backlog import Backlog

if TYPE_CHECKING:
    from collections.abc import Callable

BACKLOG = 4 * 1024 * 1024
"""The bytes that may wait for the reader, in all."""
PATIENCE = 1.0
"""The longest that the end of a process, or a line of a forked child, waits for the reader, in seconds."""
LOCK_STEP = 0.00005
"""The pause between two looks at a lock that another process has, in seconds."""
LOCK_LOOKS = 4
"""The number of such looks before the line is left to the thread."""
TURN = 1.0
"""The time after which the thread looks again whether there is room, in seconds."""


class Output:
    """Whatever `sys.stdout` is at the moment of each line.

    Attributes:
        pending: lines that may wait for the next `flush` or `write`; to be appended to, from any thread.
        dropped: how many lines have found no place.
        observers: get all lines as well, as they are written.
        forked: whether this is a child of a service's, which may end any moment with what it has not written.
        lock: the descriptor of a file that all processes have which write to the same output; None for one alone.
    """

    def __init__(self) -> None:
        self.pending: deque[str] = deque()
        self.dropped = 0
        self.lock: int | None = None
        self.observers: list[Callable[[bytes], None]] = []
        self._queue: deque[bytes] = deque()
        self._backlog = Backlog()
        self._out: object = None
        self._descriptor: int | None = None
        self._can_block = False
        self.forked = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Have locks that nobody holds, and no thread."""
        self._gate = threading.RLock()  # to count what waits; never held while anything is written
        self._lock = threading.RLock()  # to write; held by whoever does, for whom nobody waits
        self._writing = False
        self._waiting = 0
        self._thread: threading.Thread | None = None

    @property
    def behind(self) -> bool:
        """Return whether something waits to be written."""
        return bool(self.pending or self._queue or self._backlog)

    def flush(self) -> None:
        """Write the lines that are pending, as far as there is room."""
        self.write(b"")

    def write(self, line: bytes) -> None:
        """Write what is pending, then one line, each line whole or not at all; never raises, and does not wait."""
        self._enter(self._take_pending() + line)
        while self._queue and not self._thread and self._lock.acquire(blocking=False):
            try:
                if self._writing:  # on this very thread, which the garbage collector has made log meanwhile
                    return
                self._write_queue()
            finally:
                self._lock.release()
        if self.forked and self._thread:
            self._wait(PATIENCE)  # no request waits for a child, which may end any moment with what it has not written

    def close(self, patience: float = PATIENCE) -> None:
        """Give the reader `patience` seconds to take what waits; drop the rest."""
        self.flush()
        if self._wait(patience) or not self._lock.acquire(timeout=patience):
            return
        try:
            self.dropped += self._take_queue().count(b"\n")
            self._forget(b"")
        finally:
            self._lock.release()

    def leave(self) -> None:
        """Let nothing that is left in `sys.stdout` hold up the process's end or change its exit code."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            descriptor = sys.stdout.fileno()
            try:
                if not _has_room(descriptor, 0):
                    raise BlockingIOError
                sys.stdout.flush()
            except OSError:  # nobody reads any more: the interpreter would end with 120 for it
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)

    def before_fork(self) -> None:
        """Have a line that has begun written whole before any of the child's."""
        self._lock.acquire(timeout=PATIENCE)
        if self.lock is None and self._can_block and hasattr(os, "memfd_create"):
            self.lock = os.memfd_create("lmservice-log")
        if self.lock is not None and self._backlog.in_a_line:
            with contextlib.suppress(OSError):
                fcntl.lockf(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        with contextlib.suppress(RuntimeError):  # it could not be had in time
            self._lock.release()
        self.flush()

    def after_fork_in_child(self) -> None:
        """Forget what the parent has to write, which it does itself."""
        self.pending.clear()
        self._queue.clear()
        self._backlog = Backlog()
        self.forked = True
        self._begin_anew()

    def _enter(self, lines: bytes) -> None:
        """Put lines in the queue, those for which there is room."""
        if not lines:
            return
        with self._gate:
            if self._waiting + len(lines) <= BACKLOG:
                self._queue.append(lines)
                self._waiting += len(lines)
                return
            for line in lines.splitlines(keepends=True):
                if self._waiting + len(line) <= BACKLOG:
                    self._queue.append(line)
                    self._waiting += len(line)
                else:
                    self.dropped += 1

    def _take_pending(self) -> bytes:
        lines: list[str] = []
        take = self.pending.popleft
        with contextlib.suppress(IndexError):
            while True:  # one by one: another thread, or the garbage collector on this one, may take them meanwhile
                lines.append(take())
        return "".join(lines).encode()

    def _write_queue(self) -> None:
        """Write what is in the queue; leave to the thread what finds no room."""
        self._writing = True
        lines = b""
        try:
            if sys.stdout is not self._out:
                self._look_at(sys.stdout)
            lines = self._take_queue()
            for observe in self.observers:
                observe(lines)
            self._put(lines)
        except Exception:  # noqa: BLE001 - it is closed, nobody reads it any more, or an observer failed
            self._forget(lines)
        finally:
            self._writing = False
        if self._backlog and self._thread is None:
            self._start_thread()

    def _take_queue(self) -> bytes:
        with self._gate:
            lines = b"".join(self._queue)
            self._queue.clear()
            self._waiting -= len(lines)
        return lines

    def _put(self, lines: bytes) -> None:
        if self._descriptor is None:
            sys.stdout.buffer.write(lines)
        elif self._can_block:
            if _has_room(self._descriptor, 0):  # for what was printed
                sys.stdout.flush()
            with self._gate:
                self._backlog.add(lines)
                self._waiting += len(lines)
            self._write_backlog(self._descriptor, LOCK_LOOKS)
        else:
            sys.stdout.flush()
            os.write(self._descriptor, lines)

    def _forget(self, lines: bytes) -> None:
        with self._gate:
            lost = self._backlog.clear() or lines
            self._waiting = sum(map(len, self._queue))
            self.dropped += lost.count(b"\n")
        self._unlock()

    def _look_at(self, out: object) -> None:
        if self._backlog:
            self._forget(b"")
        self._out, self._descriptor = out, None
        with contextlib.suppress(OSError, ValueError, AttributeError):  # a stand-in has no file behind it
            self._descriptor = sys.stdout.fileno()
            self._can_block = not stat.S_ISREG(os.fstat(self._descriptor).st_mode)
            _let_prints_be_whole(sys.stdout)

    def _write_backlog(self, descriptor: int, looks: int) -> None:
        """Write of the backlog what there is room for, while no other process writes.

        Another one could take the room that has been seen, or come between two pages.
        """
        if not self._backlog or (self.lock is not None and not _locked(self.lock, looks)):
            return
        try:
            while self._backlog and _has_room(descriptor, 0):
                written = os.write(descriptor, self._backlog.page(select.PIPE_BUF))
                with self._gate:
                    self._backlog.took(written)
                    self._waiting -= written
        except BlockingIOError:  # somebody has made it non-blocking
            pass
        finally:
            if not self._backlog.in_a_line:  # else others would go on in the middle of a line
                self._unlock()

    def _unlock(self) -> None:
        if self.lock is not None:
            with contextlib.suppress(OSError):
                fcntl.lockf(self.lock, fcntl.LOCK_UN)

    def _start_thread(self) -> None:
        self._thread = threading.Thread(target=self._write_on, name="lmservice-log", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter ends, or there can be no more threads
            self._thread = None

    def _write_on(self) -> None:
        """Write the backlog as the reader takes it, and what comes meanwhile; end once nothing is left."""
        while True:
            descriptor = self._descriptor
            if self._backlog and descriptor is not None:
                _has_room(descriptor, TURN)
            with self._lock:
                if self._thread is not threading.current_thread():
                    return
                self._write_queue()
                if not self._queue and not self._backlog:
                    self._thread = None
            if self._thread is None:
                self.flush()  # what has come in this moment
                return
            if self._backlog and self.lock is not None:
                time.sleep(LOCK_STEP)

    def _wait(self, patience: float) -> bool:
        """Wait until all is written; return whether it is."""
        due = time.monotonic() + patience
        while self.behind and time.monotonic() < due:
            time.sleep(0.002)
            if self._thread is None:
                self.flush()
        return not self.behind


def _let_prints_be_whole(out: Any) -> None:
    """Keep prints whole: under `PYTHONUNBUFFERED` another line could come between one and its line end."""
    if out.write_through and not out.isatty():
        out.reconfigure(line_buffering=True, write_through=False)


def _locked(lock: int, looks: int) -> bool:
    """Lock for this process; false where another has kept the lock for so many looks."""
    for look in range(looks):
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # either, as POSIX has it
            if look < looks - 1:
                time.sleep(LOCK_STEP)
        else:
            return True
    return False


def _has_room(descriptor: int, patience: float) -> bool:
    """Return whether a page can be written without blocking, within `patience` seconds."""
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    return bool(poller.poll(patience * 1000))
