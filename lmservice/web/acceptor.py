"""Accepting connections: fairly, where other processes accept from the same socket, and never the last descriptor.

asyncio's own way takes all connections that wait, so that one process would get every one of a burst, and keep them;
and where descriptors run out it logs a line for each look at the queue, with nothing left for anybody else. Here who
is ahead of the others lets them go first, and a client for whom no descriptor is left is told so, and counted.
"""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable
from typing import Final

from lmservice.web import descriptors

BACKLOG: Final = 2048
"""How many connections may wait to be accepted."""
AT_ONCE: Final = 64
"""So many are accepted in one turn of the event loop."""
YIELDED: Final = 0.005
"""How long others have to take a connection, in seconds; whoever let them go first takes it then."""
RETRY: Final = 1.0
"""When accepting is tried again where the process or the system is out of descriptors or memory, in seconds."""
SILENCE: Final = 60.0
"""How long no second line says that descriptors have run out, in seconds."""
_EXHAUSTED: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_REFUSAL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)

_log = logging.getLogger("lmservice.acceptor")


class Acceptor:
    """Accepts from `sock` on the running loop, until `close` or `leave`.

    Args:
        sock: bound, not listening.
        make: gives the protocol of each connection.
        ahead: where other processes accept from the same socket: whether they should go first.
        reserve: whether the last descriptors are kept back from those who connect here.
        on_refused: called for each connection that is refused for want of a descriptor.
    """

    def __init__(
        self,
        sock: socket.socket,
        make: Callable[[], asyncio.Protocol],
        ahead: Callable[[], bool] | None = None,
        *,
        reserve: bool = False,
        on_refused: Callable[[], None] = lambda: None,
    ) -> None:
        self._sock, self._make, self._ahead = sock, make, ahead
        self._reserve, self._on_refused = reserve, on_refused
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._open = True
        self._told_at = -SILENCE
        self.opening: set[asyncio.Task[object]] = set()
        """The connections that have been accepted, and have no protocol yet."""

    def start(self) -> None:
        """Listen.

        Raises:
            OSError: another service has begun to listen on the same port.
        """
        self._sock.listen(BACKLOG)
        if self._ahead is not None:
            self._ahead()
        self._watch()

    def close(self) -> None:
        """Accept what waits in the queue, then leave; nothing is awaited in between."""
        while self._open and self._accept():
            pass
        self.leave()

    def leave(self) -> None:
        """Stop accepting, and leave the queue to others."""
        if self._open:
            self._open = False
            if self._pause is not None:
                self._pause.cancel()
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()

    def _watch(self) -> None:
        self._loop.add_reader(self._sock.fileno(), self._look)

    def _look(self) -> None:
        if self._ahead is None:
            for _ in range(AT_ONCE):
                if not self._accept():
                    return
        elif self._ahead():
            self._wait(YIELDED)
        else:
            self._accept()

    def _accept(self) -> bool:
        """Accept one; return false where none waits, which another process may have seen to."""
        try:
            accepted, _ = self._sock.accept()
        except ConnectionError:  # that client has gone
            return True
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._tell(error.strerror or "")
                self._wait(RETRY)
            return False
        accepted.setblocking(False)  # noqa: FBT003 - as the standard library has it
        if self._reserve and accepted.fileno() >= descriptors.left_for_clients():
            self._refuse(accepted)
            return True
        task: asyncio.Task[object] = self._loop.create_task(self._loop.connect_accepted_socket(self._make, accepted))
        self.opening.add(task)
        task.add_done_callback(self._opened)
        return True

    def _refuse(self, accepted: socket.socket) -> None:
        self._on_refused()
        with contextlib.suppress(OSError):
            accepted.send(_REFUSAL)
            accepted.shutdown(socket.SHUT_WR)
        accepted.close()
        self._tell("the last are kept for the management listener and the service's own files")

    def _tell(self, why: str) -> None:
        """Log it, once in a while."""
        now = self._loop.time()
        if now - self._told_at >= SILENCE:
            self._told_at = now
            values = {"limit": descriptors.limit(), "reserve": descriptors.reserve_of(descriptors.limit()), "why": why}
            _log.error("lmservice.no_descriptors", extra=values)

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
