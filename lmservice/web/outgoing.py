"""What goes out on a connection: heads together with their bodies, no faster than the client reads."""

import asyncio
from typing import TYPE_CHECKING, Final, cast

from lmservice.web import patience

if TYPE_CHECKING:
    from lmservice.web.cycle import Cycle
    from lmservice.web.listener import Listener

JOINED: Final = 65_536
"""So many bytes are copied at most to be sent together with what is held back."""


class Outgoing(asyncio.Protocol):
    """The writing half of a connection.

    Attributes:
        transport: where it is written to.
        cycle: the request that is being answered.
        closing: whether it is being closed, or is.
        write_paused: whether the client is slower than what is written.
        held: a head that waits for its body.
        left: how much a slow client had still to take when it was last looked at, in bytes, …
        moved_at: … and since when it has been so much.
        slot: the wheel's.
    """

    __slots__ = (
        "_mark", "_unsent", "_writable", "_written", "closing", "cycle", "held", "left", "listener", "moved_at",
        "slot", "transport", "write_paused",
    )  # fmt: skip

    def __init__(self, listener: "Listener") -> None:
        self.listener = listener
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.cycle: Cycle | None = None
        self.closing = self.write_paused = False
        self.held = b""
        self.slot, self.left, self.moved_at = 0, -1, 0.0
        self._writable: asyncio.Event | None = None
        self._unsent: list[tuple[int, Cycle]] = []
        self._written = self._mark = 0

    def pause_writing(self) -> None:
        """Have whoever writes wait, and look whether the client reads."""
        self.write_paused = True
        if self.cycle is not None:
            self.cycle.must_wait = True
        self.left = -1
        self._look_soon()

    def resume_writing(self) -> None:
        """Let whoever waits write on."""
        self.write_paused = False
        if self.cycle is not None:
            self.cycle.must_wait = False
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    async def writable(self) -> None:
        """Wait until the client has read enough, or has gone."""
        if self._writable is None:
            self._writable = asyncio.Event()
        await self._writable.wait()

    def flush(self) -> None:
        """Write what is held back."""
        held, self.held = self.held, b""
        if held and not self.closing:
            self._written += len(held)
            self.transport.write(held)

    def write(self, data: bytes) -> None:
        """Write, unless the connection is being closed."""
        if self.closing:
            return
        held = self.held
        if held:
            self.held = b""
            if len(data) > JOINED:
                self._written += len(held) + len(data)
                self.transport.writelines((held, data))
                return
            data = held + data
        self._written += len(data)
        self.transport.write(data)

    def remember_unsent(self, cycle: "Cycle") -> None:
        """Remember whose answer has been written, until all of it is sent."""
        flushed = self._written - self.transport.get_write_buffer_size()
        self._unsent = [(end, waiting) for end, waiting in self._unsent if end > flushed]
        if flushed < self._written:
            self._unsent.append((self._written, cycle))
            self._look_soon()

    @property
    def unsent(self) -> list["Cycle"]:
        """The requests whose answers are complete and not wholly sent."""
        flushed = self._written - self.transport.get_write_buffer_size()
        return [cycle for end, cycle in self._unsent if end > flushed]

    def _look_soon(self) -> None:
        listener = self.listener
        if listener.limits.write_timeout:
            listener.wheel.add(self, listener.loop.time() + listener.limits.write_timeout / patience.WRITE_LOOKS)

    def look(self, now: float) -> float | None:
        """Do what is due."""
        raise NotImplementedError
