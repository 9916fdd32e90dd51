"""How long the listener stays: as long as somebody still sends new connections, but not for ever."""

import asyncio
import signal
import time

from drained_instance import DELAY_MAX, EACH_STACK_AND_WORKERS, Start
from strict_client import Load

pytestmark = EACH_STACK_AND_WORKERS
CLIENTS = 40
PAUSE = 0.02


def test_endpoints_that_are_removed_later_than_the_delay_cost_no_request(start: Start) -> None:
    """Case 12: the clients keep connecting for 4 s, the delay is 3 s."""
    service = start(LM_DRAIN_DELAY="3", LM_DRAIN_QUIET="1", LM_DRAIN_DELAY_MAX="15", LM_ACCESS_LOG="false")
    endpoints: list[int] = [service.port]

    async def removed_late() -> Load:
        load = Load(lambda: next(iter(endpoints), None), pause=PAUSE)
        clients = asyncio.create_task(load.run(CLIENTS))
        await asyncio.sleep(0.3)
        service.signal(signal.SIGTERM)
        await asyncio.sleep(4)
        endpoints.clear()
        await asyncio.to_thread(service.wait)
        load.stop()
        return await clients

    load = asyncio.run(removed_late())
    assert service.wait() == 0
    assert (load.failures, load.refused) == ({}, 0)
    assert load.served > 10 * CLIENTS


def test_endless_new_connections_cannot_hold_the_listener_past_the_longest_delay(start: Start) -> None:
    """Case 13: and it stays until then, and nobody who connected is lost."""
    service = start(LM_ACCESS_LOG="false")

    async def endless() -> tuple[Load, float]:
        load = Load(lambda: service.port, keep_alive=False, pause=PAUSE)
        clients = asyncio.create_task(load.run(5))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        service.signal(signal.SIGTERM)
        await asyncio.to_thread(service.wait)
        load.stop()
        return await clients, began

    load, began = asyncio.run(endless())
    assert service.wait() == 0
    assert load.failures == {}
    assert DELAY_MAX <= load.moments["refused"][0] - began < DELAY_MAX + 1
