"""The retry budget of one host: what keeps retries from becoming a storm when everything fails."""

RESERVE = 100.0
"""The number of retries that the calls of better times may leave for worse ones."""


class Budget:
    """Each call earns a part of a retry; beside that, so many a second are free.

    Over any time the retries are no more than `ratio` of the calls, and `floor` for each second begun.

    Args:
        ratio: how many retries a call earns.
        floor: how many retries a second are free.
    """

    def __init__(self, ratio: float, floor: float) -> None:
        self._ratio = ratio
        self._earned = 0.0
        self._period = max(1.0, 1 / floor) if floor else 1.0
        self._free = floor * self._period
        self._spent = 0
        self._renewed = float("-inf")

    def earn(self) -> None:
        """Count a call, of which retries are no part."""
        self._earned = min(self._earned + self._ratio, RESERVE)

    def spend(self, now: float) -> bool:
        """Return whether one retry more is within the budget, and take it from there; `now` is in seconds."""
        if now >= self._renewed + self._period:
            self._renewed, self._spent = now, 0
        if self._spent + 1 <= self._free:
            self._spent += 1
            return True
        if self._earned < 1:
            return False
        self._earned -= 1
        return True
