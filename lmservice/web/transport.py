"""A transport whose `close` lingers, for protocols that know nothing of it: uvicorn's WebSockets.

RFC 9112 §9.6: input that nobody has read turns a close into a reset, which eats what was written last.
"""

import asyncio
from typing import Any

from lmservice.web import patience


class LingeringTransport:
    """Passes everything on to a transport, but for the close.

    Args:
        transport: the one that is written to.
        protocol: whoever writes.
    """

    def __init__(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
        self._transport, self._protocol = transport, protocol
        self._closing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write; behind a close it goes nowhere, as with asyncio's own transports."""
        if not self._closing:
            self._transport.write(data)

    def is_closing(self) -> bool:
        """Return whether it is being closed."""
        return self._closing or self._transport.is_closing()

    def close(self) -> None:
        """Send what has been written, half-close, and swallow what still comes for a while."""
        if not self.is_closing():
            self._closing = True
            _Lingering(self._transport, self._protocol).begin()


class _Lingering(asyncio.Protocol):
    """The last stage of a connection."""

    def __init__(self, transport: asyncio.Transport, before: asyncio.Protocol) -> None:
        self.transport, self._before = transport, before
        self.heard = self.sent_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Take the place of the protocol before."""
        self.transport.set_protocol(self)
        patience.begin_end(self, self._loop.time())
        self._look()

    def _look(self) -> None:
        due = patience.look_at_end(self, self._loop.time())
        if due is not None:
            self._timer = self._loop.call_at(due, self._look)

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - swallowed
        self.heard = self._loop.time()

    def pause_writing(self) -> None:
        self._before.pause_writing()

    def resume_writing(self) -> None:
        self._before.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._before.connection_lost(exc)
