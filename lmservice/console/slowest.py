"""The slowest of the last requests; collected only while somebody watches, as nothing else needs them."""

import heapq
import time
from collections import deque
from itertools import count
from typing import Any, Protocol

KEPT = 12
"""The number of requests that are shown."""
SLOT = 15.0
"""The length of a slot, in which the slowest are kept, in seconds."""
SLOTS = 20
"""The number of slots."""


class Answered(Protocol):
    """A request that has been answered."""

    method: str
    path: str
    status: int
    request_id: str


class Slowest:
    """Filled on the service's loop, read from any thread."""

    def __init__(self) -> None:
        self._slots: deque[list[tuple[float, int, dict[str, Any]]]] = deque(maxlen=SLOTS)
        self._until = 0.0
        self._order = count()

    def add(self, request: Answered, route: str, seconds: float) -> None:
        """Note a request, unless enough of the same few seconds were slower."""
        now = time.monotonic()
        if now >= self._until:
            self._slots.append([])
            self._until = now + SLOT
        slot = self._slots[-1]
        if len(slot) >= KEPT and seconds <= slot[0][0]:
            return
        entry = seconds, next(self._order), _told(request, route, seconds)
        if len(slot) < KEPT:
            heapq.heappush(slot, entry)
        else:
            heapq.heapreplace(slot, entry)

    def report(self) -> list[dict[str, Any]]:
        """Return the slowest of the last five minutes, the slowest first."""
        entries = [entry for slot in list(self._slots) for entry in list(slot)]
        return [request for _, _, request in heapq.nlargest(KEPT, entries)]


def _told(request: Answered, route: str, seconds: float) -> dict[str, Any]:
    return {
        "at": round(time.time(), 3),
        "seconds": round(seconds, 6),
        "method": request.method,
        "route": route,
        "status": request.status,
        "path": request.path,
        "request_id": request.request_id,
    }
