"""What is held back until the turn of the event loop is over, so that a head leaves together with its body."""

import asyncio
import logging
from typing import Protocol

_log = logging.getLogger("lmservice.connection")


class Held(Protocol):
    """What holds something back."""

    def flush(self) -> None:
        """Send it."""


class Corked:
    """Those of one listener that hold something back."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[Held] = []

    def add(self, held: Held) -> None:
        """Have it sent when the turn of the event loop is over."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(held)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for held in waiting:
            try:
                held.flush()
            except Exception:  # noqa: BLE001 - the others are not to wait for ever because of it
                _log.exception("an answer could not be sent")
