import asyncio
import itertools
import os
import signal
import threading
from types import FrameType

import pytest

from lmservice.lifecycle import Lifecycle, State, StopCause

pytestmark = pytest.mark.anyio
FORWARD = [State.STARTING, State.READY, State.DRAINING, State.STOPPED]


def at(state: State) -> Lifecycle:
    """A lifecycle in that state."""
    lifecycle = Lifecycle()
    lifecycle.advance(state)
    return lifecycle


def test_it_begins_as_starting() -> None:
    lifecycle = Lifecycle()
    assert lifecycle.state is State.STARTING
    assert not lifecycle.draining
    assert lifecycle.cause is None


@pytest.mark.parametrize(("before", "after"), list(itertools.combinations(FORWARD, 2)))
def test_the_state_moves_forward_and_never_back(before: State, after: State) -> None:
    lifecycle = at(before)
    assert lifecycle.advance(after)
    assert lifecycle.state is after
    assert not lifecycle.advance(before)
    assert not lifecycle.advance(after)
    assert lifecycle.state is after


@pytest.mark.parametrize("state", list(State))
def test_a_failure_is_final(state: State) -> None:
    lifecycle = at(State.FAILED)
    assert not lifecycle.advance(state)
    lifecycle.stop(StopCause("SIGTERM"))
    assert lifecycle.state is State.FAILED


def test_the_states_have_the_contracts_names() -> None:
    assert {state.value for state in State} == {"starting", "ready", "draining", "stopped", "failed"}


@pytest.mark.parametrize("state", [State.STARTING, State.READY])
def test_a_stop_begins_the_drain_and_the_first_cause_wins(state: State) -> None:
    lifecycle = at(state)
    assert lifecycle.stop(StopCause("/stop"))
    assert not lifecycle.stop(StopCause("SIGTERM"))
    assert lifecycle.state is State.DRAINING
    assert lifecycle.draining
    assert lifecycle.cause == StopCause("/stop")


def test_a_stop_that_joins_does_not_hurry_one_that_is_under_way() -> None:
    lifecycle = at(State.READY)
    lifecycle.stop(StopCause("/stop"))
    lifecycle.stop(StopCause("SIGTERM", hurried=True))
    assert (lifecycle.hurried, lifecycle.forced) == (False, False)
    lifecycle.hurry()
    assert (lifecycle.hurried, lifecycle.forced) == (True, False)


def test_a_sigints_stop_is_hurried_and_a_second_one_forced() -> None:
    lifecycle = at(State.READY)
    lifecycle.stop(StopCause("SIGINT", hurried=True))
    assert lifecycle.hurried
    lifecycle.force()
    assert lifecycle.forced


def test_of_many_threads_one_opens_the_drain() -> None:
    for _ in range(50):
        lifecycle = at(State.READY)
        barrier, won = threading.Barrier(8), list[str]()

        def stop(name: str, lifecycle: Lifecycle = lifecycle, won: list[str] = won) -> None:
            barrier.wait()  # noqa: B023 - joined within this turn
            if lifecycle.stop(StopCause(name)):
                won.append(name)

        threads = [threading.Thread(target=stop, args=(f"thread {number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [lifecycle.cause and lifecycle.cause.reason] == won


def test_a_signal_handler_may_interrupt_the_holder_of_the_lock() -> None:
    lifecycle = at(State.READY)

    def handle(_number: int, _frame: FrameType | None) -> None:
        lifecycle.stop(StopCause("SIGUSR1"))
        lifecycle.advance(State.DRAINING)

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with lifecycle._lock:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert lifecycle.draining
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_in_the_middle_of_a_change_leaves_no_state_that_contradicts_it() -> None:
    class Interrupted(Lifecycle):
        """One that a signal stops once it has been found that it may become ready."""

        @property
        def state(self) -> State:
            found = super().state
            if self.cause is None and interrupted:
                self.stop(StopCause("SIGTERM"))
            return found

    interrupted: list[bool] = []
    lifecycle = Interrupted()
    interrupted.append(True)
    assert not lifecycle.advance(State.READY)
    assert lifecycle.state is State.DRAINING


async def test_a_stop_from_another_thread_wakes_whoever_waits() -> None:
    lifecycle = Lifecycle()
    lifecycle.attach(asyncio.get_running_loop())
    waiters = [asyncio.create_task(lifecycle.wait_draining()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(waiter.done() for waiter in waiters)
    threading.Thread(target=lifecycle.stop, args=(StopCause("/stop"),)).start()
    async with asyncio.timeout(5):
        await asyncio.gather(*waiters)
        await lifecycle.wait_draining()


async def test_a_stop_before_the_loop_is_known_is_not_lost() -> None:
    lifecycle = Lifecycle()
    lifecycle.stop(StopCause("SIGTERM"))
    lifecycle.attach(asyncio.get_running_loop())
    async with asyncio.timeout(5):
        await lifecycle.wait_draining()


def test_a_stop_after_the_loop_is_closed_harms_nobody() -> None:
    lifecycle, loop = Lifecycle(), asyncio.new_event_loop()
    lifecycle.attach(loop)
    loop.close()
    assert lifecycle.stop(StopCause("SIGTERM"))
