"""Timers of many connections that cost nothing while nothing is due.

A connection does not arm a timer for each request. It is looked at once, when the first of its limits could be
reached, says then when that can next be, and is not looked at before.
"""

from typing import Final, Protocol

TICK: Final = 0.25
"""How exact the timers are, in seconds."""


class Timed(Protocol):
    """What is looked at when it is due.

    Attributes:
        slot: the wheel's own; 0 where it is on none.
    """

    slot: int

    def look(self, now: float) -> float | None:
        """Do what is due, and return when to look next, in the loop's seconds; None is never."""


class Wheel:
    """What is due, by when."""

    def __init__(self) -> None:
        self._slots: dict[int, set[Timed]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))

    def add(self, timed: Timed, at: float) -> None:
        """Look at it at a moment, in the loop's seconds, unless it is looked at earlier anyway."""
        slot = int(at / TICK) + 1
        if timed.slot:
            if timed.slot <= slot:
                return
            self.discard(timed)
        timed.slot = slot
        self._slots.setdefault(slot, set()).add(timed)

    def discard(self, timed: Timed) -> None:
        """Look at it no more."""
        if timed.slot:
            waiting = self._slots.get(timed.slot)
            if waiting is not None:
                waiting.discard(timed)
                if not waiting:
                    del self._slots[timed.slot]
            timed.slot = 0

    def turn(self, now: float) -> None:
        """Look at all that is due; to be called every half second or so."""
        present = int(now / TICK)
        for slot in [slot for slot in self._slots if slot <= present]:
            due = self._slots.pop(slot)
            for timed in due:
                timed.slot = 0
            for timed in due:
                at = timed.look(now)
                if at is not None:
                    self.add(timed, at)
