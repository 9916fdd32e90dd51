"""The forking process: it has imported the program, forks a worker whenever it is asked to, and tells how each ends.

It has one thread, no event loop and no descriptor of the supervisor's but the socket over which it is asked; each
worker's come with the request for it (SCM_RIGHTS), and are closed here once it is forked.
"""

import contextlib
import errno
import os
import select
import socket
import struct
from collections.abc import Sequence

from lmservice.workers.after_fork import become_own
from lmservice.workers.descriptors import NO_LISTENER, InheritedDescriptors

REQUEST = struct.Struct("ii")
"""The number of the worker, and how many descriptors come with it: its own, and the pipe for its exit code."""
REPLY = struct.Struct("ii")
"""The new process's id, with which its pidfd comes, or 0; and why there is none, an `errno`, or 0."""
EXIT_CODE = struct.Struct("i")
"""How a worker ended: its exit code, less than 0 where a signal ended it."""
_MOST_DESCRIPTORS = 4


class ForkingProcess:
    """The life of the forking process.

    Args:
        sock: whence the requests come; at its end the process ends.
        opened: the descriptors of what the program opened at its import.
    """

    def __init__(self, sock: socket.socket, opened: Sequence[int]) -> None:
        self._sock, self._opened = sock, opened
        self._workers: dict[int, tuple[int, int]] = {}  # by pidfd: the process, and the pipe for its exit code
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def serve(self) -> InheritedDescriptors:
        """Fork and reap; return in each worker that is forked. In the forking process this never returns."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor != self._sock.fileno():
                    self._reap(descriptor)
                elif (descriptors := self._heed()) is not None:
                    return descriptors

    def _heed(self) -> InheritedDescriptors | None:
        """Fork a worker; return its descriptors in the worker, None in this process."""
        message, received, *_ = socket.recv_fds(self._sock, REQUEST.size, _MOST_DESCRIPTORS)
        if not message:  # the supervisor has gone, or wants no more
            os._exit(0)
        number, sent = REQUEST.unpack(message)
        if len(received) < sent:
            self._refuse(received, errno.EMFILE)
            return None
        try:
            pid = os.fork()
        except OSError as error:
            self._refuse(received, error.errno or errno.EAGAIN)
            return None
        if pid == 0:
            return self._begin_worker(number, received)
        self._introduce(pid, received)
        return None

    def _begin_worker(self, number: int, received: Sequence[int]) -> InheritedDescriptors:
        self._sock.close()
        os.close(received[-1])
        for pidfd, (_, pipe) in self._workers.items():
            os.close(pidfd)
            os.close(pipe)
        become_own(self._opened)
        *listener, channel, counts = received[:-1]
        return InheritedDescriptors(number, listener[0] if listener else NO_LISTENER, channel, counts)

    def _introduce(self, pid: int, received: Sequence[int]) -> None:
        """Send the worker's pidfd, which names it even after its end, and watch it."""
        *theirs, pipe = received
        for descriptor in theirs:
            os.close(descriptor)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:  # no descriptor is left: nobody could watch it
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            self._refuse([pipe], error.errno or errno.EMFILE)
            return
        self._workers[pidfd] = pid, pipe
        self._poll.register(pidfd, select.POLLIN)
        self._reply([pidfd], pid, 0)

    def _reap(self, pidfd: int) -> None:
        pid, pipe = self._workers.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(OSError):  # nobody asks any longer
            os.write(pipe, EXIT_CODE.pack(os.waitstatus_to_exitcode(status)))
        os.close(pipe)

    def _refuse(self, received: Sequence[int], reason: int) -> None:
        for descriptor in received:
            os.close(descriptor)
        self._reply([], 0, reason)

    def _reply(self, descriptors: Sequence[int], pid: int, reason: int) -> None:
        try:
            socket.send_fds(self._sock, [REPLY.pack(pid, reason)], descriptors)
        except OSError:  # the supervisor has gone: the next poll says so
            return
