"""A timetable for the whole run, and the search service on it."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from search_service import service, timetable
from search_service.database import open_engine
from sqlalchemy.ext.asyncio import AsyncEngine

from lmservice.testing import running


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def database_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A timetable: imported by the first of the parallel test processes, waited for by the others."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    file = folder / "timetable.db"
    asyncio.run(_import_into(file))
    return file


async def _import_into(file: Path) -> None:
    engine = open_engine(database_url(file))
    try:
        await timetable.prepare(engine)
    finally:
        await engine.dispose()


@pytest.fixture(scope="module")
async def client(database_file: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service, which runs on real sockets."""
    with without_settings():
        async with (
            running(service, database_url=database_url(database_file)) as search,
            httpx.AsyncClient(base_url=search.url, trust_env=False) as client,
        ):
            yield client


@pytest.fixture
async def engine(database_file: Path) -> AsyncIterator[AsyncEngine]:
    """The timetable's engine."""
    engine = open_engine(database_url(database_file))
    yield engine
    await engine.dispose()


def database_url(file: Path) -> str:
    return f"sqlite+aiosqlite:///{file}"


@contextmanager
def without_settings() -> Iterator[None]:
    """Keeps the settings of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("LM_")]:
            patch.delenv(name)
        yield
