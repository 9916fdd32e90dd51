"""The cache, against a real Redis that is killed and hangs."""

import logging
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis
from search_service.cache import REST, Cache
from servers import Server, free_port, redis_server

pytestmark = pytest.mark.anyio


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def mortal() -> Iterator[Server]:
    """A Redis of the test's own."""
    with redis_server() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def cache(mortal: Server, clock: Clock) -> AsyncIterator[Cache]:
    cache = Cache(f"redis://127.0.0.1:{mortal.port}/0", timeout=0.2, ttl=600, clock=clock)
    cache.use("data 1")
    yield cache
    await cache.close()


async def test_what_is_kept_is_found(cache: Cache) -> None:
    assert await cache.get(cache.key("a")) is None
    await cache.put(cache.key("a"), b"\x00found\n")
    assert await cache.get(cache.key("a")) == b"\x00found\n"
    assert await cache.get(cache.key("b")) is None
    assert await cache.ping()


async def test_what_is_kept_of_other_data_is_not_found(cache: Cache) -> None:
    await cache.put(cache.key("a"), b"old")
    cache.use("data 2")
    assert await cache.get(cache.key("a")) is None
    cache.use("data 1")
    assert await cache.get(cache.key("a")) == b"old"


async def test_what_is_kept_ends_after_its_time(mortal: Server) -> None:
    cache = Cache(f"redis://127.0.0.1:{mortal.port}/0", timeout=2, ttl=0.05)
    await cache.put(cache.key("a"), b"short")
    deadline = time.monotonic() + 60
    while await cache.get(cache.key("a")) is not None:
        assert time.monotonic() < deadline
    await cache.close()


async def test_without_redis_nothing_is_found_and_nothing_fails(clock: Clock) -> None:
    cache = Cache(f"redis://127.0.0.1:{free_port()}/0", timeout=0.2, ttl=600, clock=clock)
    await cache.put(cache.key("a"), b"lost")
    assert await cache.get(cache.key("a")) is None
    await cache.close()


async def test_a_redis_that_hangs_is_waited_for_once_and_then_left_alone(
    cache: Cache, clock: Clock, mortal: Server
) -> None:
    await cache.put(cache.key("a"), b"kept")
    mortal.hang()
    assert await cache.get(cache.key("a")) is None
    began = time.monotonic()
    for _ in range(50):
        assert await cache.get(cache.key("a")) is None
    assert time.monotonic() - began < 5  # each alone would wait 0.2 s
    mortal.go_on()
    assert await cache.get(cache.key("a")) is None
    clock.now += REST
    assert await cache.get(cache.key("a")) == b"kept"
    assert await cache.get(cache.key("a")) == b"kept"


async def test_a_redis_that_was_killed_is_used_again_once_it_is_back(
    cache: Cache, clock: Clock, mortal: Server
) -> None:
    await cache.put(cache.key("a"), b"kept")
    mortal.end(signal.SIGKILL)
    assert await cache.get(cache.key("a")) is None
    with pytest.raises(Exception, match=r"Connect|refused|closed"):
        await cache.ping()
    mortal.start()
    clock.now += REST
    assert await cache.get(cache.key("a")) is None  # it keeps nothing over its end
    await cache.put(cache.key("a"), b"again")
    assert await cache.get(cache.key("a")) == b"again"


REFUSALS = {
    "its memory is full": ({"maxmemory": "1", "maxmemory-policy": "noeviction"}, {"maxmemory": "0"}),
    "it has too few replicas": ({"min-replicas-to-write": "1"}, {"min-replicas-to-write": "0"}),
}


@pytest.mark.parametrize("reason", REFUSALS)
async def test_a_redis_that_refuses_writes_is_still_read_and_that_is_said_once(
    cache: Cache, clock: Clock, mortal: Server, caplog: pytest.LogCaptureFixture, reason: str
) -> None:
    caplog.set_level(logging.INFO, "search_service.cache")
    await cache.put(cache.key("a"), b"kept")
    async with Redis(host="127.0.0.1", port=mortal.port) as operator:
        spoil, mend = REFUSALS[reason]
        for name, value in spoil.items():
            await operator.config_set(name, value)
        for _ in range(20):
            await cache.put(cache.key("b"), b"refused")
            assert await cache.get(cache.key("a")) == b"kept"
            clock.now += 0.4
        assert [record.message for record in caplog.records] == ["the cache keeps nothing new"]
        for name, value in mend.items():
            await operator.config_set(name, value)
        clock.now += REST
        await cache.put(cache.key("b"), b"taken")
        assert await cache.get(cache.key("b")) == b"taken"
    assert [record.message for record in caplog.records][1:] == ["the cache keeps results again"]


async def test_a_replica_is_read_and_never_asked_to_keep_more_than_once_a_second(
    cache: Cache, clock: Clock, mortal: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async with Redis(host="127.0.0.1", port=mortal.port) as operator:
        await operator.replicaof("127.0.0.1", str(free_port()))
        for _ in range(50):
            await cache.put(cache.key("b"), b"refused")
        clock.now += REST
        await cache.put(cache.key("b"), b"refused")
        await cache.get(cache.key("b"))
        assert (await operator.info("errorstats"))["errorstat_READONLY"]["count"] == 2
    assert [record.message for record in caplog.records] == ["the cache keeps nothing new"]
