"""Accepting from a socket that other processes accept from as well.

asyncio's own way takes all connections that wait, so that one process would get every one of a burst, and keep them.
Here one is taken each turn of the event loop, and who is ahead of the others lets them go first.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

BACKLOG = 2048
"""As uvicorn has it."""
YIELDED = 0.005
"""How long others have to take a connection, in seconds; whoever let them go first takes it then."""
RETRY = 1.0
"""Where the process or the system is out of descriptors or memory, in seconds."""
_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))

_log = logging.getLogger("lmservice.acceptor")


class Acceptor:
    """Accepts from `sock` on the running loop, until `close` or `leave`.

    Args:
        make: gives the protocol of each connection.
        ahead: whether others should go first.
    """

    def __init__(self, sock: socket.socket, make: Callable[[], asyncio.Protocol], ahead: Callable[[], bool]) -> None:
        self._sock, self._make, self._ahead = sock, make, ahead
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._open = True
        self.opening: set[asyncio.Task[object]] = set()
        """The connections that have been accepted, and have no protocol yet."""

    def start(self) -> None:
        """Listens.

        Raises:
            OSError: another service has begun to listen on the same port.
        """
        self._sock.listen(BACKLOG)
        self._ahead()
        self._watch()

    def close(self) -> None:
        """Accepts what waits in the queue, then leaves; nothing is awaited in between."""
        while self._open and self._accept():
            pass
        self.leave()

    def leave(self) -> None:
        """Stops accepting, and leaves the queue to others."""
        if self._open:
            self._open = False
            if self._pause is not None:
                self._pause.cancel()
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()

    def _watch(self) -> None:
        self._loop.add_reader(self._sock.fileno(), self._look)

    def _look(self) -> None:
        if self._ahead():
            self._wait(YIELDED)
        else:
            self._accept()

    def _accept(self) -> bool:
        """Accepts one; false where none waits, which another process may have seen to."""
        try:
            accepted, _ = self._sock.accept()
        except ConnectionError:  # that client has gone
            return True
        except OSError as error:
            if error.errno in _EXHAUSTED:
                _log.error("no connection can be accepted, next tried in %g s: %s", RETRY, error.strerror)
                self._wait(RETRY)
            return False
        accepted.setblocking(False)  # noqa: FBT003 - as the standard library has it
        task: asyncio.Task[object] = self._loop.create_task(self._loop.connect_accepted_socket(self._make, accepted))
        self.opening.add(task)
        task.add_done_callback(self._opened)
        return True

    def _opened(self, task: asyncio.Task[object]) -> None:
        self.opening.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("a connection could not be taken on", exc_info=error)

    def _wait(self, seconds: float) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._pause = self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._watch()
        self._accept()
