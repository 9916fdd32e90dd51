"""Consumers of a Redis stream, by redis-py's own calls in a consumer loop, that are rolled under load."""

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import Callable

import pytest
from processes import ServiceProcess
from redis.asyncio import Redis
from redis_server import redis_server

pytestmark = pytest.mark.anyio
PROGRAM = """
import asyncio
import random

from redis.asyncio import Redis

from lmservice import Service, Settings


class OrderSettings(Settings):
    redis_url: str = ""
    consumer: str = ""


service = Service("orders", settings=OrderSettings)


@service.consumer_loop(concurrency=20)
async def orders(state, intake):
    async with Redis.from_url(state.settings.redis_url, decode_responses=True, socket_timeout=10) as redis:

        async def book(key, fields):
            await asyncio.sleep(random.uniform(0.05, 0.2))
            print("handled", fields["number"], flush=True)
            await redis.xack("orders", "orders", key)

        while await intake.room():
            fetched = await redis.xreadgroup(
                "orders", state.settings.consumer, {"orders": ">"}, count=intake.free, block=500
            )
            for key, fields in (entry for _, entries in fetched or () for entry in entries):
                intake.take(book(key, fields))
"""
RATE, SECONDS = 80, 6


def handled(process: ServiceProcess) -> list[int]:
    return [int(line.split()[1]) for line in list(process.output) if line.startswith("handled ")]


def by_sigterm(process: ServiceProcess) -> None:
    process.signal(signal.SIGTERM)


def by_stop(process: ServiceProcess) -> None:
    process.begin_stop()


async def unsettled(redis: Redis) -> bool:
    """Whether any message is not fetched, or not acknowledged."""
    pending = await redis.xpending("orders", "orders")
    return bool((await redis.xinfo_groups("orders"))[0]["lag"] or pending["pending"])


@pytest.mark.parametrize("end", [by_sigterm, by_stop])
async def test_a_roll_of_both_consumers_loses_nothing_and_handles_nothing_twice(
    end: Callable[[ServiceProcess], None],
) -> None:
    processes: list[ServiceProcess] = []

    async def publish(redis: Redis) -> None:
        for number in range(RATE * SECONDS):
            await redis.xadd("orders", {"number": number})
            await asyncio.sleep(1 / RATE)

    with redis_server() as url, contextlib.ExitStack() as stack:

        def start(name: str) -> ServiceProcess:
            settings = {"LM_REDIS_URL": url, "LM_CONSUMER": name, "LM_ENVIRONMENT": "qa"}
            processes.append(stack.enter_context(ServiceProcess(PROGRAM, settings=settings)))
            return processes[-1]

        async with Redis.from_url(url, decode_responses=True) as redis:
            await redis.xgroup_create("orders", "orders", id="0", mkstream=True)
            old = [start("one"), start("two")]
            for process in old:
                await asyncio.to_thread(process.wait_ready)
            publishing = asyncio.create_task(publish(redis))
            for name, leaving in zip(("three", "four"), old, strict=True):
                await asyncio.sleep(1)
                await asyncio.to_thread(start(name).wait_ready)
                await asyncio.to_thread(end, leaving)
                assert await asyncio.to_thread(leaving.wait) == 0
            await publishing
            async with asyncio.timeout(20):
                while await unsettled(redis):  # noqa: ASYNC110 - Redis sets no event
                    await asyncio.sleep(0.05)
        for process in processes[2:]:
            process.signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait) == 0
    counts = Counter(number for process in processes for number in handled(process))
    assert sorted(counts) == list(range(RATE * SECONDS))
    assert max(counts.values()) == 1
    assert all(handled(process) for process in processes), "each of the four had a share"
