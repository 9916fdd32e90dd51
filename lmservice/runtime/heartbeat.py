"""Whether the service's event loop turns: it leaves a mark every half second, which another thread reads."""

import asyncio
import logging
import threading
import time

from lmservice.runtime import stacks

INTERVAL = 0.5
"""Between two marks, in seconds."""
NOTICED = 1.0
"""A loop that stands still for longer than this, in seconds, has its stack logged."""

_log = logging.getLogger("lmservice.heartbeat")


class Heartbeat:
    """The marks of one loop.

    Args:
        stall: how long the loop may stand still before the service is not well, in seconds.
    """

    def __init__(self, stall: float) -> None:
        self._stall = stall
        self._last = time.monotonic()
        self._thread = threading.get_ident()
        self._handle: asyncio.TimerHandle | None = None
        self._told = False
        self.lag = 0.0
        """How late the last mark was, in seconds."""

    def start(self) -> None:
        """Begin to mark the running loop, on its own thread."""
        self._thread = threading.get_ident()
        self._last = time.monotonic() - INTERVAL
        self._beat()

    def stop(self) -> None:
        """Leave no further mark."""
        if self._handle is not None:
            self._handle.cancel()

    def _beat(self) -> None:
        now = time.monotonic()
        self.lag = max(0.0, now - self._last - INTERVAL)
        self._last = now
        self._handle = asyncio.get_running_loop().call_later(INTERVAL, self._beat)

    def still_for(self) -> float:
        """Return how long the loop has stood still, in seconds; 0 as long as it turns."""
        return max(0.0, time.monotonic() - self._last - INTERVAL)

    @property
    def well(self) -> bool:
        """Return whether the loop has turned within the limit."""
        return self.still_for() < self._stall

    def watch(self) -> None:
        """Log, once for each stall, the stack of what holds the loop; to be called often, from another thread."""
        still = self.still_for()
        if still >= min(NOTICED, self._stall) and not self._told:
            self._told = True
            stack = "\n".join(stacks.of_thread(self._thread))
            _log.error("lmservice.event_loop_stalled", extra={"seconds": round(still, 3), "stack": stack})
        elif self._told and still == 0:
            self._told = False
            _log.warning("lmservice.event_loop_recovered", extra={"late": round(self.lag, 3)})
