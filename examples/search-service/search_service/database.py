"""The database engine, and what is SQLite's own about it."""

import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, AsyncAdaptedQueuePool, event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

BUSY_TIMEOUT = 0.5
"""How long SQLite itself waits for a lock, in seconds: short, because nothing can interrupt it."""

CONNECTIONS = 5
"""Connections, and so threads, that read at once; more would only wait for the same file."""


class DatabaseError(Exception):
    """The database cannot be used as it is; says what to set."""

    def __init__(self, url: URL, reason: object) -> None:
        super().__init__(
            f"the database {url.render_as_string()} cannot be used: {reason}:"
            " set LM_DATABASE_URL to one that can, for example sqlite+aiosqlite:////tmp/timetable.db"
        )


def open_engine(url: str) -> AsyncEngine:
    """An engine on `url`, whose folder is made where it is missing.

    Its connections commit by themselves, so that reading costs no transaction; `writing` opens one.

    Raises:
        DatabaseError: the folder cannot be made.
    """
    parsed = make_url(url)
    _make_folder(parsed)
    logging.getLogger("aiosqlite").setLevel(logging.INFO)  # its debug lines spell out every row written
    engine = create_async_engine(
        parsed,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=CONNECTIONS,
        max_overflow=0,
        connect_args={"timeout": BUSY_TIMEOUT},
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    return engine


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that is the only one to write from its first moment; all or nothing, tables included.

    Raises:
        BlockingIOError: somebody else is writing; try again a little later.
    """
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="SERIALIZABLE")
        async with connection.begin():
            await _claim(connection)
            yield connection


@contextmanager
def explained(engine: AsyncEngine) -> Iterator[None]:
    """Turns what a driver raises into a `DatabaseError`."""
    try:
        yield
    except DBAPIError as error:
        raise DatabaseError(engine.url, error.orig) from None


async def _claim(connection: AsyncConnection) -> None:
    try:
        await connection.exec_driver_sql("BEGIN IMMEDIATE")
    except DBAPIError as error:
        if is_busy(error):
            raise BlockingIOError("the database is being written by another process") from error
        raise


def is_busy(error: DBAPIError) -> bool:
    """Whether it failed only because another process holds a lock."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _make_folder(url: URL) -> None:
    if url.database and url.database != ":memory:" and not url.database.startswith("file:"):
        folder = Path(url.database).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(url, f"its folder cannot be made ({error.strerror}: {error.filename})") from None


def _prepare(connection: Any, _record: object) -> None:
    """Lets readers go on while another process writes (https://sqlite.org/wal.html)."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()
