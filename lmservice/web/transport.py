"""A transport whose `close` lingers, for protocols that know nothing of it: uvicorn's WebSockets.

RFC 9112 §9.6: input that nobody has read turns a close into a reset, which eats what was written last.
"""

import asyncio
import contextlib
from typing import Any

from lmservice.web.patience import LINGER_LONGEST, LINGER_SILENCE


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
        self._transport, self._before = transport, before
        self._loop = asyncio.get_running_loop()
        self._sent_at: float | None = None
        self._heard = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Take the place of the protocol before."""
        self._transport.set_protocol(self)
        with contextlib.suppress(RuntimeError, OSError):
            self._transport.resume_reading()
        with contextlib.suppress(RuntimeError, OSError, NotImplementedError):
            self._transport.write_eof()
        self._heard = self._loop.time()
        self._look()

    def _look(self) -> None:
        now = self._loop.time()
        if self._transport.get_write_buffer_size() > 0:
            self._sent_at = None
        elif self._sent_at is None:
            self._sent_at = self._heard = now
        elif now - self._heard >= LINGER_SILENCE or now - self._sent_at >= LINGER_LONGEST:
            self._transport.close()
            return
        self._timer = self._loop.call_later(LINGER_SILENCE / 4, self._look)

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - swallowed
        self._heard = self._loop.time()

    def pause_writing(self) -> None:
        self._before.pause_writing()

    def resume_writing(self) -> None:
        self._before.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._before.connection_lost(exc)
