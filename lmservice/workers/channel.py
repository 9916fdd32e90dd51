"""Messages between the supervisor and a worker, over a socket pair: a JSON object, and bytes where there are many."""

import asyncio
import contextlib
import socket
import struct
from typing import Any, NamedTuple, Self

from pydantic_core import from_json, to_json

_LENGTHS = struct.Struct(">II")


class Message(NamedTuple):
    """What one side tells the other.

    Attributes:
        kind: what it is about.
        values: what it says.
        payload: what is too large for these.
    """

    kind: str
    values: dict[str, Any]
    payload: bytes


class Channel:
    """One end of the pair, on the loop that opened it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, sock: socket.socket) -> Self:
        """Take over one end's socket."""
        return cls(*await asyncio.open_unix_connection(sock=sock))

    def send(self, kind: str, payload: bytes = b"", **values: Any) -> None:
        """Send a message, soon; nothing happens where the other side has gone."""
        if self._writer.is_closing():
            return
        text = to_json([kind, values], fallback=str, inf_nan_mode="constants")
        self._writer.write(_LENGTHS.pack(len(text), len(payload)) + text + payload)

    async def receive(self) -> Message | None:
        """Return the next message; None where the other side has gone."""
        try:
            length, more = _LENGTHS.unpack(await self._reader.readexactly(_LENGTHS.size))
            kind, values = from_json(await self._reader.readexactly(length))
            return Message(kind, values, await self._reader.readexactly(more))
        except (asyncio.IncompleteReadError, OSError):
            return None

    async def flush(self) -> None:
        """Return once there is room for more."""
        with contextlib.suppress(OSError):
            await self._writer.drain()

    async def close(self) -> None:
        """Send what has not been sent, then leave."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
