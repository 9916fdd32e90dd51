"""The database: SQLite or PostgreSQL, its pool, and what is either one's own about it.

Searches read through the driver itself: of the time that a query takes in SQLAlchemy, three quarters are SQLAlchemy's.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import URL, AsyncAdaptedQueuePool, SelectBase, Table, event, insert, make_url, text
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from lmservice.telemetry.metrics import Metrics

BUSY_TIMEOUT = 0.5
"""How long SQLite itself waits for a lock, in seconds: short, because nothing can interrupt it."""

RETRY = 0.1
"""Between two looks at whether another instance has finished writing, in seconds."""

WRITER = 2013_01_01
"""PostgreSQL's advisory lock of whoever writes the timetable; any number that nobody else in the database takes."""


T = TypeVar("T")
Rows = Sequence[Sequence[Any]]

_log = logging.getLogger(__name__)


class DatabaseError(Exception):
    """The database cannot be used as it is; says what to set."""

    def __init__(self, url: URL, reason: object) -> None:
        super().__init__(
            f"the database {url.render_as_string()} cannot be used: {reason}:"
            " set LM_DATABASE_URL to one that can, for example sqlite+aiosqlite:////tmp/timetable.db"
        )


class UnavailableError(Exception):
    """The database does not answer now; the cause says why.

    Attributes:
        lost: whether the connection broke meanwhile.
    """

    def __init__(self, reason: str, *, lost: bool = False) -> None:
        super().__init__(reason)
        self.lost = lost


class Prepared(NamedTuple):
    """A query as the driver takes it.

    Attributes:
        names: of its parameters, in the order in which it takes their values.
    """

    sql: str
    names: Sequence[str]


class Database:
    """The engine, and reading past it.

    Its connections commit by themselves, so that reading costs no transaction; `writing` opens one.

    Args:
        url: as `LM_DATABASE_URL`; the folder of an SQLite file is made where it is missing.
        connections: kept open, and the most that read at once.
        timeout: to connect, to wait for a connection, and of a statement, in seconds.

    Raises:
        DatabaseError: the folder cannot be made.
    """

    def __init__(self, url: str, connections: int = 5, timeout: float = 2) -> None:
        parsed = make_url(url)
        self.sqlite = parsed.get_backend_name() == "sqlite"
        self.engine = _open_engine(parsed, connections, timeout)
        self._connections, self._timeout = connections, timeout
        self._places = asyncio.Semaphore(connections)
        self._waiting = self._waits = 0

    async def reach(self) -> None:
        """Makes sure that it can be reached.

        Raises:
            DatabaseError: it cannot.
        """
        try:
            async with self.engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except Exception as error:
            raise DatabaseError(self.engine.url, _told(error)) from error

    async def close(self) -> None:
        """Closes its connections."""
        await self.engine.dispose()

    def prepare(self, query: SelectBase) -> Prepared:
        """Compiles a query once and for all."""
        compiled: Any = query.compile(dialect=self.engine.dialect)
        return Prepared(str(compiled), tuple(compiled.positiontup or ()))

    async def rows(self, query: Prepared, values: Mapping[str, Any]) -> Rows:
        """What a query finds; one that goes down with its connection, as in a restart of the server, is put again.

        Raises:
            UnavailableError: the database cannot be reached, is too slow, or fails.
        """
        arguments = [values[name] for name in query.names]
        try:
            return await self._read(query.sql, arguments)
        except UnavailableError as error:
            if not error.lost:
                raise
        return await self._read(query.sql, arguments)

    async def _read(self, sql: str, arguments: Sequence[Any]) -> Rows:
        try:
            await self._place()
        except TimeoutError as error:
            raise UnavailableError(f"all {self._connections} connections are in use") from error
        try:
            return await self._fetch(sql, arguments)
        finally:
            self._places.release()

    async def _place(self) -> None:
        """Waits in line for a connection; the pool itself would let those who come later go first."""
        if not self._places.locked():
            await self._places.acquire()
            return
        self._waits += 1
        self._waiting += 1
        try:
            async with asyncio.timeout(self._timeout):
                await self._places.acquire()
        finally:
            self._waiting -= 1

    async def _fetch(self, sql: str, arguments: Sequence[Any]) -> Rows:
        try:
            checked_out = await self.engine.raw_connection()
        except Exception as error:
            raise UnavailableError(f"no connection: {type(error).__name__}: {error}") from error
        driver: Any = checked_out.driver_connection
        try:
            found: Rows = await (
                driver.execute_fetchall(sql, arguments) if self.sqlite else driver.fetch(sql, *arguments)
            )
        except BaseException as error:
            lost = not self.sqlite and driver.is_closed()
            checked_out.invalidate()  # who knows what it is in the middle of
            if isinstance(error, Exception):
                raise UnavailableError(f"{type(error).__name__}: {error}", lost=lost) from error
            raise
        finally:
            checked_out.close()
        return found

    def observed(self, metrics: Metrics) -> None:
        """Lets the pool be seen, by the names of OpenTelemetry's semantic conventions."""
        pool: Any = self.engine.pool
        metrics.on_scrape(
            "db_client_connection_count",
            "Connections of the database pool.",
            ("state",),
            lambda: [(("idle",), pool.checkedin()), (("used",), pool.checkedout())],
        )
        metrics.on_scrape(
            "db_client_connection_max", "Connections that the pool may have.", (), lambda: [((), self._connections)]
        )
        metrics.on_scrape(
            "db_client_connection_pending_requests", "Who waits for a connection.", (), lambda: [((), self._waiting)]
        )
        metrics.on_scrape(
            "search_database_pool_waits_total",
            "How often a connection had to be waited for.",
            (),
            lambda: [((), self._waits)],
            kind="counter",
        )

    async def write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Does what writes in a transaction of its own, once nobody else writes."""
        while True:
            try:
                async with self.writing() as connection:
                    return await work(connection)
            except BlockingIOError:
                _log.debug("another instance is writing")
            await asyncio.sleep(RETRY)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is the only one to write from its first moment; all or nothing, tables included.

        Raises:
            BlockingIOError: somebody else is writing; try again a little later.
        """
        async with self.engine.connect() as connection:
            await connection.execution_options(isolation_level="SERIALIZABLE" if self.sqlite else "READ COMMITTED")
            async with connection.begin():
                await (_claim_file if self.sqlite else _claim_lock)(connection)
                yield connection

    async def insert(self, connection: AsyncConnection, table: Table, rows: list[tuple[Any, ...]]) -> None:
        """Writes many rows, whose values are in the table's order, by the driver's quickest way."""
        if self.sqlite:
            statement = str(insert(table).compile(dialect=connection.dialect, column_keys=table.columns.keys()))
            await connection.exec_driver_sql(statement, rows)
        else:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            await driver.copy_records_to_table(table.name, records=rows, columns=table.columns.keys())

    async def weigh(self, connection: AsyncConnection) -> None:
        """Lets PostgreSQL know what it holds now, without which its plans are bad until it looks by itself."""
        if not self.sqlite:
            await connection.execute(text("ANALYZE"))

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Tells which database it is that fails."""
        try:
            yield
        except (DBAPIError, OSError) as error:
            raise DatabaseError(self.engine.url, _told(error)) from None


def _told(error: Exception) -> str:
    """An error in words; some have none but their name."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return str(cause) or type(cause).__name__


def _open_engine(url: URL, connections: int, timeout: float) -> AsyncEngine:
    sqlite = url.get_backend_name() == "sqlite"
    if sqlite:
        _make_folder(url)
        logging.getLogger("aiosqlite").setLevel(logging.INFO)  # its debug lines spell out every row written
    elif "sslmode" in url.query:  # as libpq spells it
        url = url.update_query_dict({"ssl": url.query["sslmode"]}).difference_update_query(["sslmode"])
    engine = create_async_engine(
        url,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=timeout,
        pool_use_lifo=True,
        connect_args={"timeout": BUSY_TIMEOUT} if sqlite else _of_postgres(timeout),
    )
    if sqlite:
        event.listen(engine.sync_engine, "connect", _prepare)
    else:
        event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _of_postgres(timeout: float) -> dict[str, Any]:
    settings = {"statement_timeout": str(round(timeout * 1000)), "application_name": "search-service", "jit": "off"}
    return {"timeout": timeout, "server_settings": settings}


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
    """Lets the pool replace a connection that the server has closed meanwhile; costs no round trip."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


async def _claim_file(connection: AsyncConnection) -> None:
    try:
        await connection.exec_driver_sql("BEGIN IMMEDIATE")
    except DBAPIError as error:
        if is_busy(error):
            raise BlockingIOError("the database is being written by another process") from error
        raise


async def _claim_lock(connection: AsyncConnection) -> None:
    """The lock ends with the transaction; what is written under it takes longer than searches may."""
    await connection.execute(text("SET LOCAL statement_timeout = 0"))
    if not await connection.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": WRITER}):
        raise BlockingIOError("the database is being written by another process")


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
