"""The breaker alone, on times that the test makes up."""

from typing import Any

import pytest

from lmservice import ClientPolicy
from lmservice.client.breaker import Breaker, BreakerState


class Watched:
    """A breaker whose states are noted."""

    def __init__(self, **policy: Any) -> None:
        self.states: list[BreakerState] = []
        self.breaker = Breaker(ClientPolicy(**policy), self.states.append)

    def call(self, now: float, *, failed: bool | None) -> bool:
        """One attempt from beginning to end; whether it was let through."""
        permit = self.breaker.enter(now)
        if permit is not None:
            self.breaker.leave(permit, now, failed=failed)
        return permit is not None

    def state(self) -> BreakerState:
        return self.breaker.state

    def calls(self, now: float, successes: int, failures: int) -> None:
        """Attempts at one moment, the successes first."""
        for number in range(successes + failures):
            assert self.call(now, failed=number >= successes)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_it_opens_when_enough_of_enough_calls_failed(watched: Watched) -> None:
    watched.calls(0, 5, 4)
    assert watched.state() is BreakerState.CLOSED
    watched.calls(1, 0, 1)
    assert watched.state() is BreakerState.OPEN
    assert watched.states == [BreakerState.OPEN]


def test_fewer_calls_than_the_minimum_do_not_open_it(watched: Watched) -> None:
    watched.calls(0, 0, 9)
    assert watched.state() is BreakerState.CLOSED


def test_a_smaller_part_than_the_ratio_does_not_open_it(watched: Watched) -> None:
    watched.calls(0, 51, 49)
    assert watched.state() is BreakerState.CLOSED


def test_what_is_older_than_the_window_does_not_count(watched: Watched) -> None:
    watched.calls(0, 0, 5)
    watched.calls(10.01, 0, 5)
    assert watched.state() is BreakerState.CLOSED


def test_what_is_within_the_window_counts_though_it_was_not_at_once(watched: Watched) -> None:
    for second in range(9):
        watched.calls(float(second), 0, 1)
    watched.calls(9.0, 0, 1)
    assert watched.state() is BreakerState.OPEN


def test_successes_that_have_left_the_window_no_longer_hold_it_closed(watched: Watched) -> None:
    watched.calls(0, 1000, 0)
    watched.calls(20, 0, 10)
    assert watched.state() is BreakerState.OPEN


def test_calls_that_say_nothing_are_not_counted(watched: Watched) -> None:
    watched.calls(0, 0, 9)
    for _ in range(50):
        watched.call(0, failed=None)
    assert watched.state() is BreakerState.CLOSED


def opened(watched: Watched) -> Watched:
    watched.calls(0, 0, 10)
    assert watched.state() is BreakerState.OPEN
    return watched


def test_open_it_lets_nobody_through_for_its_time(watched: Watched) -> None:
    opened(watched)
    assert not watched.call(0, failed=False)
    assert not watched.call(9.99, failed=False)
    assert watched.breaker.reopens_in(9.0) == pytest.approx(1)


def test_half_open_it_lets_exactly_one_through(watched: Watched) -> None:
    breaker = opened(watched).breaker
    assert breaker.enter(10) is not None
    assert watched.state() is BreakerState.HALF_OPEN
    assert [breaker.enter(10 + number) for number in range(100)] == [None] * 100


def test_a_probe_that_succeeds_closes_it_with_a_clean_record(watched: Watched) -> None:
    assert opened(watched).call(10, failed=False)
    assert watched.states == [BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED]
    watched.calls(10, 0, 9)
    assert watched.state() is BreakerState.CLOSED


def test_a_probe_that_fails_opens_it_for_its_whole_time_again(watched: Watched) -> None:
    assert opened(watched).call(12, failed=True)
    assert watched.state() is BreakerState.OPEN
    assert not watched.call(21.9, failed=False)
    assert watched.call(22, failed=False)
    assert watched.state() is BreakerState.CLOSED


def test_a_probe_that_was_cancelled_leaves_room_for_the_next(watched: Watched) -> None:
    assert opened(watched).call(10, failed=None)
    assert watched.state() is BreakerState.HALF_OPEN
    assert watched.call(10, failed=False)
    assert watched.state() is BreakerState.CLOSED


@pytest.mark.parametrize("failed", [True, False, None])
def test_a_call_that_began_before_it_opened_changes_nothing_when_it_ends(watched: Watched, *, failed: bool) -> None:
    early = watched.breaker.enter(0)
    assert early is not None
    probe = opened(watched).breaker.enter(10)
    watched.breaker.leave(early, 11, failed=failed)
    assert probe is not None
    assert watched.state() is BreakerState.HALF_OPEN
    assert watched.breaker.enter(11) is None


def test_the_window_keeps_no_more_than_its_parts(watched: Watched) -> None:
    for number in range(100_000):
        watched.call(number / 1000, failed=False)
    assert len(watched.breaker._window._slots) <= 21
    assert 9000 <= watched.breaker._window.calls <= 10_500
