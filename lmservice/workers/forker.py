"""The supervisor's side of the forking process: forked before any thread or loop exists, it is asked for workers."""

import asyncio
import contextlib
import gc
import io
import os
import select
import signal
import socket
import sys
import warnings
from typing import NamedTuple

from lmservice.server.signals import STOPPING, heed_none
from lmservice.workers.descriptors import InheritedDescriptors
from lmservice.workers.forking import EXIT_CODE, REPLY, REQUEST, ForkingProcess
from lmservice.workers.obstacles import native_threads, obstacles, open_descriptors

PATIENCE = 10.0
"""How long a fork may take, in seconds; past it the forking process counts as gone."""
GOODBYE = 1.0
"""How long the forking process has to tell a worker's exit code, or to end, in seconds."""


class ForkedProcess:
    """A worker that the forking process has forked; it is watched by its pidfd.

    Args:
        pid: its id.
        pidfd: its, which this closes at its end.
        pipe: the pipe that gets its exit code.
    """

    def __init__(self, pid: int, pidfd: int, pipe: int) -> None:
        self.pid, self._pidfd, self._pipe = pid, pidfd, pipe

    async def ended(self) -> int | None:
        """Wait for its end; return its exit code, less than 0 where a signal ended it, None where nobody knows."""
        await _readable(self._pidfd)
        with contextlib.suppress(TimeoutError):  # its parent hangs
            await asyncio.wait_for(_readable(self._pipe), GOODBYE)
        os.set_blocking(self._pipe, False)
        try:
            code = os.read(self._pipe, EXIT_CODE.size)
        except BlockingIOError:
            code = b""
        os.close(self._pipe)
        os.close(self._pidfd)
        self._pidfd = -1
        return EXIT_CODE.unpack(code)[0] if code else None

    def kill(self) -> None:
        """End it at once; nothing happens where it has ended."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)


class Forker:
    """The forking process, as the supervisor has it.

    Args:
        sock: how it is asked.
        pid: its id.
    """

    def __init__(self, sock: socket.socket, pid: int) -> None:
        sock.settimeout(PATIENCE)
        self._sock, self._pid = sock, pid

    def fork(self, descriptors: InheritedDescriptors) -> ForkedProcess:
        """Have a worker forked.

        Raises:
            ForkerGoneError: the forking process has ended, or does not answer.
            OSError: the system has no process, memory or descriptor left.
        """
        ours, theirs = os.pipe()
        try:
            pid, pidfd = self._ask(descriptors, theirs)
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return ForkedProcess(pid, pidfd, ours)

    def _ask(self, descriptors: InheritedDescriptors, pipe: int) -> tuple[int, int]:
        sent = [*descriptors.open, pipe]
        try:
            socket.send_fds(self._sock, [REQUEST.pack(descriptors.worker, len(sent))], sent)
            message, received, *_ = socket.recv_fds(self._sock, REPLY.size, 1)
        except (ConnectionError, TimeoutError) as error:
            raise ForkerGoneError from error
        if not message:
            raise ForkerGoneError
        pid, reason = REPLY.unpack(message)
        if reason:
            raise OSError(reason, os.strerror(reason))
        return pid, received[0]

    def close(self) -> None:
        """Let the forking process end; its workers go on."""
        self._sock.close()
        with contextlib.suppress(OSError):
            pidfd = os.pidfd_open(self._pid)
            if not select.select([pidfd], [], [], GOODBYE)[0]:
                os.kill(self._pid, signal.SIGKILL)
            os.close(pidfd)
            os.waitpid(self._pid, 0)


class ForkerGoneError(OSError):
    """The forking process has ended, or does not answer."""


class Start(NamedTuple):
    """How workers are started.

    Attributes:
        forker: what forks them; None where they cannot be forked.
        because: why not, each named for people.
        worker: the descriptors of the worker that this process is; None in the supervisor.
    """

    forker: Forker | None = None
    because: tuple[str, ...] = ()
    worker: InheritedDescriptors | None = None


def start_forker(inherited: frozenset[int]) -> Start:
    """Fork the forking process off, where the program can be forked; return here, and in each worker.

    Args:
        inherited: the descriptors that were open before the program was imported.
    """
    because = obstacles(inherited) + _lacks_of_the_system()
    if because:
        return Start(because=tuple(because))
    opened = sorted(open_descriptors() - inherited)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    _flush()
    gc.freeze()  # so that no collection writes to the pages that all processes share
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        pid = _forked()
    except OSError as error:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return Start(because=(f"a fork failed: {error.strerror}",))
    if pid == 0:
        ours.close()
        heed_none()
        return Start(worker=ForkingProcess(theirs, opened).serve())
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    forker = Forker(ours, pid)
    if because := native_threads():  # only now: there are libraries that end theirs before a fork
        forker.close()
        return Start(because=tuple(because))
    return Start(forker)


def _forked() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a library's threads, which are looked for here
        return os.fork()


def _lacks_of_the_system() -> list[str]:
    """Return what the kernel lacks: pidfds are there since Linux 5.3, but not in every sandbox."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (OSError, AttributeError) as error:
        return [f"no pidfd: {error}"]
    return []


def _flush() -> None:
    """Write what files have in their buffers, which every process would write else."""
    kinds = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
    for file in [sys.stdout, sys.stderr, *(thing for thing in gc.get_objects() if type(thing) in kinds)]:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # it has been closed, or there is none
            file.flush()


async def _readable(descriptor: int) -> None:
    """Return once there is something to read, or its end."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_reader(descriptor, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(descriptor)
