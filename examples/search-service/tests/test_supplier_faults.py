"""Suppliers in processes of their own, of which one hangs and comes back, under load and beside other faults."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from searching import DEADLINE, GRACE, PATIENCE, Load, SearchProcess, answers, search_process
from servers import Postgres, Server

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

PATHS = [
    *(
        f"/flights?origin={origin}&destination={destination}&date=2013-{month:02}-15"
        for origin, destination in (("JFK", "LAX"), ("EWR", "SFO"))
        for month in range(1, 13)
    ),
    *(f"/hotels?city=SAN&check_in=2013-{month:02}-10&check_out=2013-{month:02}-13&guests=2" for month in range(1, 13)),
    *(
        f"/trips?origin=JFK&destination=SAN&check_in=2013-{month:02}-10&check_out=2013-{month:02}-13&guests=2"
        for month in range(1, 13)
    ),
]
ONE = PATHS[0]
QUICK = 0.7
"""What is no more than this waits for nobody that hangs, in seconds; suppliers have more than two of the deadline."""


@pytest.fixture
async def suppliers(database_file: Path) -> AsyncIterator[list[SearchProcess]]:
    """Two suppliers."""
    async with AsyncExitStack() as stack:
        url = f"sqlite+aiosqlite:///{database_file}"
        yield [
            await stack.enter_async_context(search_process(url, "supplier:service", LM_SUPPLIER_NAME=name))
            for name in ("acme", "zeta")
        ]


async def listed(suppliers: list[SearchProcess]) -> dict[str, str]:
    """The settings of a service with these suppliers."""
    for each in suppliers:
        await each.wait_for("lmservice.ready")
    urls = ", ".join([f'"{await each.url()}"' for each in suppliers])
    return {"LM_SUPPLIERS": f"[{urls}]", "LM_SEARCH_DEADLINE": str(DEADLINE)}


async def name_of(supplier: SearchProcess) -> str:
    return httpx.URL(await supplier.url()).netloc.decode()


class Traveller:
    """Asks one search again and again, and how it went."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE)

    async def ask(self, supplier: str) -> tuple[str, float]:
        """How a supplier did, and what the answer took, in seconds."""
        began = time.monotonic()
        response = await self._client.get(ONE)
        took = time.monotonic() - began
        assert response.status_code == 200, response.text
        answer = response.json()
        outcome: str = answer["suppliers"][supplier]
        assert answer["partial"] is (outcome != "ok")
        return outcome, took

    async def until(self, outcome: str, supplier: str) -> list[float]:
        """What the answers took until a supplier did so, in seconds."""
        took: list[float] = []
        async with asyncio.timeout(PATIENCE):
            while True:
                did, seconds = await self.ask(supplier)
                took.append(seconds)
                if did == outcome:
                    return took

    async def close(self) -> None:
        await self._client.aclose()


async def test_a_supplier_that_hangs_soon_costs_nothing_and_comes_back(
    database_file: Path, suppliers: list[SearchProcess]
) -> None:
    settings = await listed(suppliers)
    zeta = await name_of(suppliers[1])
    async with search_process(f"sqlite+aiosqlite:///{database_file}", **settings) as search:
        await search.wait_for("lmservice.ready")
        traveller = Traveller(await search.url())
        assert (await traveller.ask(zeta))[0] == "ok"

        suppliers[1].send(signal.SIGSTOP)
        slow = await traveller.until("open", zeta)
        assert max(slow) < DEADLINE
        assert 1 <= len([seconds for seconds in slow if seconds > QUICK]) <= 5
        metrics = (await search.get("management_url", "/metrics")).text
        assert f'lmservice_client_breaker_state{{client="{zeta}",host="{zeta}",state="open"}} 1.0' in metrics

        asked = [await traveller.ask(zeta) for _ in range(300)]
        assert {outcome for outcome, _ in asked} <= {"open", "late"}
        assert sorted(seconds for _, seconds in asked)[296] < QUICK  # the slowest hundredth, but for a probe or two

        suppliers[1].send(signal.SIGCONT)
        await traveller.until("ok", zeta)
        assert (await traveller.ask(zeta))[1] < QUICK
        await traveller.close()
        assert await search.end(signal.SIGTERM) == 0


async def test_with_suppliers_faults_make_answers_partial_and_never_wrong(
    database: Postgres, mortal_redis: Server, suppliers: list[SearchProcess]
) -> None:
    settings = {
        **await listed(suppliers),
        "LM_REDIS_URL": f"redis://127.0.0.1:{mortal_redis.port}/0",
        "LM_CACHE_TTL": "0.5",  # so that the database and the suppliers are asked all the time
    }
    async with search_process(database.url(), **settings) as search:
        await search.wait_for("lmservice.ready")
        url = await search.url()
        load = Load(url, await answers(url, PATHS))
        async with load.running(clients=6):
            await load.since("right")

            mortal_redis.end(signal.SIGKILL)
            await load.since("right")

            suppliers[1].send(signal.SIGSTOP)
            await load.since("partial", 200)
            assert (await search.get("management_url", "/readyz")).status_code == 200

            database.end(signal.SIGINT)
            await load.since("partial", 200)
            await search.ready(503)
            database.start()
            await search.ready()

            mortal_redis.start()
            suppliers[1].send(signal.SIGCONT)
            await load.since("right", 100)
        assert load.wrong == []
        assert set(load.outcomes) <= {"right", "partial", "refused"}
        assert load.slowest < DEADLINE + GRACE
        assert not [event for event in search.logged("http.request") if event["status"] == 500]
        assert await search.end(signal.SIGTERM) == 0
