"""How many requests may wait for the event loop, by what each takes of its time.

What computes keeps the loop: those that have come meanwhile wait, first in the sockets' buffers, where nobody sees
them. So no more handlers begin in one turn of the loop than take a few milliseconds; then the sockets are looked at
again, and the queue stands where its length and its age are known. A burst may make it long, as it is gone soon; a
queue that has been deep for a while is a standing one, which only makes everybody late, and is kept short.
"""

from typing import Final

from lmservice.web.route_limit import FLOOR, HEADROOM, HEADROOM_SECONDS, LONGEST_WAIT

TURN: Final = 0.004
"""How long the handlers that begin in one turn of the loop may take together, in seconds."""
FIRST_BATCH: Final = 8
"""So many begin in one turn as long as nothing is known of what they take."""
STANDING: Final = 0.25
"""A queue that was deep for so long is no burst, in seconds."""
DEEP: Final = 10
"""So many that wait make a deep one, …"""
SHALLOW: Final = 4
"""… and fewer than so many one that is deep no longer."""
MOST_AT_ONCE: Final = 1000

_SMOOTHING = 0.25


class QueueLimit:
    """What is known of the requests that begin.

    Attributes:
        cost: what each takes of the loop's time, in seconds; 0 where nothing is known.
        batch: so many begin in one turn at most.
    """

    def __init__(self) -> None:
        self.cost = 0.0
        self.batch = FIRST_BATCH
        self._short = self._long = MOST_AT_ONCE
        self._since: float | None = None

    def learn(self, seconds: float, begun: int) -> None:
        """Take into account that a turn in which so many began took so many seconds."""
        cost = seconds / begun
        self.cost += (cost - self.cost) * (_SMOOTHING if self.cost else 1.0)
        self.batch = max(1, min(MOST_AT_ONCE, round(TURN / self.cost))) if self.cost > 0 else MOST_AT_ONCE
        self._long = max(FLOOR, min(MOST_AT_ONCE, int(LONGEST_WAIT / max(self.cost, 1e-6))))
        self._short = min(self._long, max(HEADROOM, int(HEADROOM_SECONDS / max(self.cost, 1e-6))))

    def deepen(self, now: float) -> None:
        """Note that the queue is deep, in seconds of a monotonic clock."""
        self._since = now if self._since is None else self._since

    def subside(self) -> None:
        """Note that it is so no longer."""
        self._since = None

    def is_standing(self, now: float) -> bool:
        """Return whether the queue has been deep for a while."""
        return self._since is not None and now - self._since > STANDING

    def allowed(self, now: float) -> int:
        """Return how many may wait."""
        return self._short if self.is_standing(now) else self._long
