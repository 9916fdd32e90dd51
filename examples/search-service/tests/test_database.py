import sqlite3
from pathlib import Path
from typing import Any

import pytest
from search_service import tables
from search_service.database import Database, DatabaseError
from sqlalchemy import insert, select, text

pytestmark = pytest.mark.anyio

AMERICAN = {"code": "AA", "name": "American Airlines Inc."}


def url(file: Path) -> str:
    return f"sqlite+aiosqlite:///{file}"


def table_names(file: Path) -> list[Any]:
    with sqlite3.connect(file) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    connection.close()
    return names


async def test_the_folder_of_the_database_is_made(tmp_path: Path) -> None:
    database = Database(url(tmp_path / "a" / "b" / "t.db"))
    async with database.engine.connect() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1
    await database.close()
    assert (tmp_path / "a" / "b" / "t.db").exists()


def test_a_folder_that_cannot_be_made_is_told_with_the_variable_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match=r"its folder cannot be made .*set LM_DATABASE_URL"):
        Database(url(tmp_path / "file" / "t.db"))


async def test_a_file_that_is_no_database_is_told_with_the_variable_to_set(tmp_path: Path) -> None:
    (tmp_path / "t.db").write_text("far too short and no database at all\n" * 100)
    database = Database(url(tmp_path / "t.db"))
    with pytest.raises(DatabaseError, match=r"not a database: set LM_DATABASE_URL"), database.explained():
        async with database.engine.connect():
            pass
    await database.close()


async def test_what_is_written_is_there_when_all_of_it_is(tmp_path: Path) -> None:
    database = Database(url(tmp_path / "t.db"))
    async with database.writing() as connection:
        await connection.run_sync(tables.metadata.create_all)
        await connection.execute(insert(tables.carrier), [AMERICAN])
        assert table_names(tmp_path / "t.db") == []
    async with database.engine.connect() as connection:
        assert [dict(row) for row in (await connection.execute(select(tables.carrier))).mappings()] == [AMERICAN]
    await database.close()


async def test_a_failure_leaves_not_even_tables_behind(tmp_path: Path) -> None:
    database = Database(url(tmp_path / "t.db"))

    async def fail_half_way() -> None:
        async with database.writing() as connection:
            await connection.run_sync(tables.metadata.create_all)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_half_way()
    await database.close()
    assert table_names(tmp_path / "t.db") == []


async def test_two_cannot_write_at_once_but_one_can_read_meanwhile(tmp_path: Path) -> None:
    first, second = Database(url(tmp_path / "t.db")), Database(url(tmp_path / "t.db"))
    async with first.writing():
        with pytest.raises(BlockingIOError):
            async with second.writing():
                pass
        async with second.engine.connect() as connection:
            assert await connection.scalar(text("SELECT count(*) FROM sqlite_master")) == 0
    async with second.writing():
        pass
    await first.close()
    await second.close()
