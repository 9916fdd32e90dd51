"""`lmservice.testing.virtual_time`: waiting takes no time."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator

import pytest
import uvloop

from lmservice import retry
from lmservice.errors import UsageError
from lmservice.testing import virtual_time

pytestmark = pytest.mark.anyio
DAY = 86_400.0


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": False}


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Real seconds."""
    began = time.perf_counter()
    yield
    assert time.perf_counter() - began < seconds


async def test_a_days_sleep_takes_a_day_of_its_clocks_and_none_of_the_tests() -> None:
    loop = asyncio.get_running_loop()
    with within(5):
        async with virtual_time():
            began = loop.time(), time.monotonic()
            await asyncio.sleep(DAY)
            assert (loop.time(), time.monotonic()) == (began[0] + DAY, began[1] + DAY)


async def test_timers_ring_in_their_order_and_each_at_its_moment() -> None:
    rung: list[tuple[float, str]] = []

    async def ring(after: float, name: str) -> None:
        await asyncio.sleep(after)
        rung.append((time.monotonic() - began, name))

    async with virtual_time():
        began = time.monotonic()
        await asyncio.gather(ring(3600, "late"), ring(0.001, "soon"), ring(60, "later"))
    assert [name for _, name in rung] == ["soon", "later", "late"]
    assert [at for at, _ in rung] == pytest.approx([0.001, 60, 3600], abs=1e-6)


async def test_a_timeout_is_exact() -> None:
    async with virtual_time():
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(90):
                await asyncio.Event().wait()
        assert time.monotonic() - began == pytest.approx(90, abs=1e-6)


async def test_retries_wait_in_virtual_time() -> None:
    tries: list[float] = []

    @retry(on=OSError, attempts=4, timeout=None, wait_initial=100, wait_max=1000)
    async def call() -> str:
        tries.append(time.monotonic())
        if len(tries) < 4:
            raise OSError
        return "well"

    with within(5):
        async with virtual_time():
            assert await call() == "well"
    assert tries == sorted(tries)
    assert len(tries) == 4


async def test_a_thread_is_waited_for_before_the_clock_jumps() -> None:
    async with virtual_time():
        began = time.monotonic()
        async with asyncio.timeout(DAY):
            assert await asyncio.to_thread(threading.Event().wait, 0.05) is False
        assert time.monotonic() - began < DAY


async def test_other_threads_and_whatever_comes_afterwards_go_by_the_real_clock() -> None:
    real = time.monotonic()
    async with virtual_time():
        await asyncio.sleep(DAY)
        assert await asyncio.to_thread(lambda: time.monotonic()) < real + DAY  # noqa: PLW0108 - looked up there
    assert real <= time.monotonic() < real + DAY
    await asyncio.sleep(0.001)


async def test_it_ends_where_the_test_fails_and_cannot_be_entered_twice() -> None:
    before = time.monotonic
    with pytest.raises(LookupError):
        async with virtual_time():
            raise LookupError
    assert time.monotonic is before
    async with virtual_time():
        with pytest.raises(UsageError, match="already"):
            async with virtual_time():
                pytest.fail("it was entered")
    assert time.monotonic is before


def test_uvloops_loop_is_refused_by_name() -> None:
    async def enter() -> None:
        async with virtual_time():
            pytest.fail("it was entered")

    with pytest.raises(UsageError, match=r"asyncio's own event loop, not uvloop\.Loop"):
        uvloop.run(enter())
