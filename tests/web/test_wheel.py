"""Timers of many connections."""

from lmservice.web.wheel import TICK, Wheel


class Timed:
    """Notes when it is looked at."""

    def __init__(self, *after: float) -> None:
        self.slot = 0
        self.looks: list[float] = []
        self._after = iter(after)

    def look(self, now: float) -> float | None:
        self.looks.append(now)
        return next(self._after, None)


def turn(wheel: Wheel, until: float) -> None:
    for step in range(round(until / TICK) + 1):
        wheel.turn(step * TICK)


def test_what_is_due_is_looked_at_once_and_not_before() -> None:
    wheel, timed = Wheel(), Timed()
    wheel.add(timed, 3.1)
    turn(wheel, 10)
    (look,) = timed.looks
    assert 3.1 <= look <= 3.1 + 2 * TICK
    assert len(wheel) == 0


def test_it_says_itself_when_to_look_next() -> None:
    wheel, timed = Wheel(), Timed(5.0, 7.0)
    wheel.add(timed, 1.0)
    turn(wheel, 10)
    assert [round(look) for look in timed.looks] == [1, 5, 7]


def test_the_nearer_moment_counts() -> None:
    wheel, timed = Wheel(), Timed()
    for moment in (5.0, 2.0, 8.0):
        wheel.add(timed, moment)
    assert len(wheel) == 1
    turn(wheel, 10)
    assert [round(look) for look in timed.looks] == [2]


def test_what_is_taken_off_is_forgotten() -> None:
    wheel, timed = Wheel(), Timed()
    wheel.add(timed, 1.0)
    wheel.discard(timed)
    wheel.discard(timed)
    turn(wheel, 2)
    assert timed.looks == []
    assert len(wheel) == 0


def test_a_late_turn_misses_nothing() -> None:
    wheel, many = Wheel(), [Timed() for _ in range(10)]
    for number, timed in enumerate(many):
        wheel.add(timed, float(number))
    wheel.turn(100.0)
    assert all(timed.looks == [100.0] for timed in many)
