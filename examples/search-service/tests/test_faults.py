"""What searches become while what the service leans on is killed, hangs and comes back, under load."""

import signal

import pytest
from searching import DEADLINE, GRACE, Load, SearchProcess, answers, search_process, total
from servers import Postgres, Server

pytestmark = pytest.mark.anyio

PATHS = [
    f"/flights?origin={origin}&destination={destination}&date=2013-{month:02}-15&sort={sort}"
    for origin, destination in (("JFK", "LAX"), ("EWR", "SFO"), ("LGA", "ORD"))
    for month in range(1, 13)
    for sort in ("departure", "price")
]


async def test_under_faults_every_answer_is_right_or_refused_in_time(database: Postgres, mortal_redis: Server) -> None:
    settings = {
        "LM_REDIS_URL": f"redis://127.0.0.1:{mortal_redis.port}/0",
        "LM_CACHE_TTL": "0.5",  # so that the database is asked all the time
        "LM_SEARCH_DEADLINE": str(DEADLINE),
    }
    async with search_process(database.url(), **settings) as search:
        await search.wait_for("lmservice.ready")
        url = await search.url()
        load = Load(url, await answers(url, PATHS))
        async with load.running(clients=8):
            await load.since("right")

            mortal_redis.hang()  # it hangs, and then it dies
            await search.check("cache", "down")
            await load.since("right")
            mortal_redis.end(signal.SIGKILL)
            await load.since("right")
            assert (await search.get("management_url", "/readyz")).status_code == 200
            assert load.outcomes["refused"] == 0

            database.end(signal.SIGINT)
            await load.since("refused")
            await search.ready(503)
            database.start()
            await search.ready()
            await load.since("right")

            database.hang()
            await search.ready(503)
            database.go_on()
            await search.ready()
            await load.since("right")

            mortal_redis.start()
            await search.check("cache", "up")
            hits = await cache_hits(search)
            await load.since("right", 200)
            assert await cache_hits(search) > hits
        assert load.wrong == []
        assert set(load.outcomes) <= {"right", "refused"}
        assert load.slowest < DEADLINE + GRACE
        assert not [event for event in search.logged("http.request") if event["status"] == 500]
        assert await search.end(signal.SIGTERM) == 0


async def cache_hits(search: SearchProcess) -> float:
    said = await search.get("management_url", "/metrics")
    return total(said.text, 'search_cache_total{kind="flights",result="hit"}')
