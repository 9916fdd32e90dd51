"""A timetable for the whole run, and the search service on it."""

import asyncio
import fcntl
import os
import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from search_service import record, schema, service, timetable
from search_service.database import Database
from servers import Postgres, Server, postgres, redis_server
from sqlalchemy.exc import OperationalError
from supplier import service as supplier_service

from lmservice import retry
from lmservice.testing import running

RunSearch = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def database_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A timetable: imported by the first of the parallel test processes, waited for by the others."""
    file = shared_folder(tmp_path_factory) / "timetable.db"
    asyncio.run(import_into(database_url(file)))
    return file


@pytest.fixture(scope="session")
def postgres_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of PostgreSQL with a timetable, to be copied: made by the first of the parallel test processes."""
    folder = shared_folder(tmp_path_factory)
    data = folder / "postgres"
    with (folder / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not data.exists():
            with postgres() as server:
                asyncio.run(import_into(server.url()))
                server.end(signal.SIGINT)
                shutil.move(server.data, data)
    return data


@pytest.fixture(scope="session")
def postgres_url(postgres_data: Path) -> Iterator[str]:
    """A PostgreSQL with a timetable, which is only read."""
    with postgres(like=postgres_data) as server:
        yield server.url()


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """One for all parallel test processes."""
    folder = factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@retry(on=OperationalError, attempts=record.ATTEMPTS)
async def import_into(url: str) -> None:
    """As a start does, which tries again where another one makes the file at the same moment."""
    database = Database(url.replace("postgresql:", "postgresql+asyncpg:"))
    try:
        await schema.upgrade(database)
        await timetable.prepare(database)
    finally:
        await database.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def either_url(request: pytest.FixtureRequest) -> str:
    """Each database with a timetable, in turn."""
    if request.param == "sqlite":
        return database_url(request.getfixturevalue("database_file"))
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(scope="module")
async def client(either_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service, which runs on real sockets."""
    with without_settings():
        async with (
            running(service, database_url=either_url) as search,
            httpx.AsyncClient(base_url=search.url, trust_env=False) as client,
        ):
            yield client


@pytest.fixture(scope="session")
def redis() -> Iterator[Server]:
    """A Redis, which nobody kills."""
    with redis_server() as server:
        yield server


@pytest.fixture
def run_search(database_file: Path) -> RunSearch:
    """Runs the search service on real sockets with further settings; gives a client of it."""

    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        settings = {"database_url": database_url(database_file), **settings}
        with without_settings():
            async with (
                running(service, **settings) as search,
                httpx.AsyncClient(base_url=search.url, trust_env=False) as client,
            ):
                yield client

    return run


@pytest.fixture
def supplied(database_file: Path) -> Callable[..., AbstractAsyncContextManager[str]]:
    """Runs a supplier of a name on real sockets with further settings; gives its base URL."""

    @asynccontextmanager
    async def run(name: str, **settings: Any) -> AsyncIterator[str]:
        settings = {"database_url": database_url(database_file), "supplier_name": name, **settings}
        with without_settings():
            async with running(supplier_service, **settings) as supplier:
                yield supplier.url

    return run


@dataclass(frozen=True)
class BreakableDatabase:
    """A timetable of its own, of which the flights can be lost."""

    file: Path

    @property
    def url(self) -> str:
        return database_url(self.file)

    def break_(self) -> None:
        """Loses the flights, whoever is reading them."""
        with closing(sqlite3.connect(self.file)) as connection:
            connection.execute("DROP TABLE flight")


@pytest.fixture
def breakable_database(database_file: Path, tmp_path: Path) -> BreakableDatabase:
    """A copy of the timetable."""
    file = tmp_path / "timetable.db"
    with closing(sqlite3.connect(database_file)) as there, closing(sqlite3.connect(file)) as here:
        there.backup(here)
    return BreakableDatabase(file)


def database_url(file: Path) -> str:
    return f"sqlite+aiosqlite:///{file}"


@contextmanager
def without_settings() -> Iterator[None]:
    """Keeps the settings of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("LM_")]:
            patch.delenv(name)
        yield


@pytest.fixture
def database(postgres_data: Path) -> Iterator[Postgres]:
    """A PostgreSQL to be restarted."""
    with postgres(like=postgres_data) as server:
        yield server


@pytest.fixture
def mortal_redis() -> Iterator[Server]:
    """A Redis to be killed."""
    with redis_server() as server:
        yield server
