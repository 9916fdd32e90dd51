"""The service on PostgreSQL, by real processes: starts at once, imports that are killed, databases that are away."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped] # it has no types of its own
import pytest
from search_service import tables
from search_service.database import Database, UnavailableError
from searching import search_process, total, until
from servers import Postgres, free_port, postgres
from sqlalchemy import text

pytestmark = pytest.mark.anyio

FLIGHTS = 336_776
DAY = "/flights?origin=EWR&destination=SFO&date=2013-08-01"


@pytest.fixture
def empty() -> Iterator[Postgres]:
    """A PostgreSQL without anything in it."""
    with postgres() as server:
        yield server


@pytest.fixture
def filled(postgres_data: Path) -> Iterator[Postgres]:
    """A PostgreSQL of the test's own, with a timetable."""
    with postgres(like=postgres_data) as server:
        yield server


@asynccontextmanager
async def connected(server: Postgres) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(server.url())
    try:
        yield connection
    finally:
        await connection.close()


async def rows(server: Postgres) -> int:
    """How many rows there are in all tables of the timetable."""
    async with connected(server) as connection:
        return sum([await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables.metadata.tables])


async def half_way(server: Postgres) -> None:
    """Returns once an import has written a good part of its rows."""
    async with connected(server) as connection:
        await until(lambda: connection.fetchval("SELECT pg_relation_size(to_regclass('flight')) > 4000000"))


async def test_of_several_that_start_at_once_one_imports_and_all_answer(empty: Postgres) -> None:
    async with AsyncExitStack() as stack:
        searches = [await stack.enter_async_context(search_process(empty.url())) for _ in range(3)]
        for search in searches:
            await search.wait_for("lmservice.ready")
        assert sum(len(search.logged("timetable imported")) for search in searches) == 1
        answers = [await search.get("url", DAY) for search in searches]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.text for answer in answers}) == 1
        assert [await search.end(signal.SIGTERM) for search in searches] == [0, 0, 0]
    async with connected(empty) as connection:
        found = await connection.fetchrow("SELECT count(*), count(DISTINCT day) FROM flight")
        assert tuple(found) == (FLIGHTS, 365)


async def test_an_import_that_is_killed_half_way_leaves_nothing_and_the_next_start_does_it_again(
    empty: Postgres,
) -> None:
    async with search_process(empty.url()) as killed:
        await half_way(empty)
        assert await killed.end(signal.SIGKILL) == -signal.SIGKILL
        assert not killed.logged("timetable imported")
    assert await rows(empty) == 0
    async with search_process(empty.url()) as next_one:
        await next_one.wait_for("lmservice.ready")
        assert len(next_one.logged("timetable imported")) == 1
        assert await next_one.end(signal.SIGTERM) == 0


async def test_a_database_that_stays_away_ends_the_start_once_its_time_is_up() -> None:
    url = f"postgresql://me:secret@127.0.0.1:{free_port()}/search"
    async with search_process(url, LM_STARTUP_TIMEOUT="5") as search:
        assert await search.ended() == 3
        assert len(search.logged("lmservice.startup_job_retry")) >= 3
        (problem,) = search.logged("lmservice.stopped")[0]["problems"]
        assert "LM_STARTUP_TIMEOUT, 5 s; still running: 'database'" in problem
        assert "postgresql+asyncpg://me:********@127.0.0.1" in problem
        assert "set LM_DATABASE_URL" in problem
        assert "secret" not in problem


async def test_a_database_that_comes_late_is_waited_for(filled: Postgres) -> None:
    filled.end(signal.SIGINT)
    async with search_process(filled.url()) as search:
        await search.wait_for("lmservice.startup_job_retry")
        filled.start()
        await search.wait_for("lmservice.ready")
        assert await search.end(signal.SIGTERM) == 0


async def test_the_pool_is_seen_in_the_metrics(postgres_url: str) -> None:
    async with search_process(postgres_url, LM_DATABASE_POOL_SIZE="1") as search:
        await search.wait_for("lmservice.ready")
        await asyncio.gather(*(search.get("url", DAY) for _ in range(40)))
        said = (await search.get("management_url", "/metrics")).text
        assert total(said, "db_client_connection_max") == 1
        assert total(said, "db_client_connection_count") == 1
        assert total(said, "db_client_connection_pending_requests") == 0
        assert total(said, "search_database_pool_waits_total") > 0
        assert total(said, 'search_searches_total{kind="flights"}') == 40


@pytest.fixture
async def impatient(filled: Postgres) -> AsyncIterator[Database]:
    """A database of one connection, which must answer within half a second."""
    database = Database(filled.url().replace("postgresql:", "postgresql+asyncpg:"), connections=1, timeout=0.5)
    yield database
    await database.close()


async def test_a_statement_that_takes_too_long_is_ended(impatient: Database) -> None:
    slow = impatient.prepare(text("SELECT pg_sleep(60)").columns())
    with pytest.raises(UnavailableError, match=r"statement timeout"):
        await impatient.rows(slow, {})
    assert await impatient.rows(impatient.prepare(text("SELECT 1").columns()), {})


async def test_a_connection_is_not_waited_for_too_long(impatient: Database) -> None:
    query = impatient.prepare(text("SELECT 1").columns())
    async with impatient.engine.connect():
        with pytest.raises(UnavailableError, match=r"no connection: TimeoutError"):
            await impatient.rows(query, {})
    assert await impatient.rows(query, {})


async def test_a_search_that_is_given_up_leaves_a_pool_that_works(impatient: Database, filled: Postgres) -> None:
    query = impatient.prepare(text("SELECT 1").columns())
    await impatient.rows(query, {})
    filled.hang()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await impatient.rows(query, {})
    filled.go_on()
    assert await impatient.rows(query, {})


async def test_connections_that_the_server_has_closed_are_replaced_unseen(
    impatient: Database, filled: Postgres
) -> None:
    query = impatient.prepare(text("SELECT pg_backend_pid()").columns())
    before = await impatient.rows(query, {})
    filled.end(signal.SIGINT)
    filled.start()
    after = await impatient.rows(query, {})
    assert before[0][0] != after[0][0]
