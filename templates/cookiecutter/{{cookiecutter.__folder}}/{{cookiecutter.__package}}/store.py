"""The database: its engine, its tables, and what is asked of it. Its changes over time are in `migrations/`."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

metadata = MetaData()
note = Table(
    "note",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("text", String(1000), nullable=False),
)
{%- if cookiecutter.database == "sqlite" %}

_ALONE = "BEGIN IMMEDIATE"
"""Makes others that would write wait until the transaction ends."""


def open_engine(url: str) -> AsyncEngine:
    """An engine on `url`; nothing is opened yet."""
    return create_async_engine(url, connect_args={"timeout": 10})
{%- else %}

_ALONE = "SELECT pg_advisory_xact_lock(hashtext('{{ cookiecutter.project_name }} migrations'))"
"""Makes others that would migrate wait until the transaction ends."""


def open_engine(url: str) -> AsyncEngine:
    """An engine on `url`; nothing is connected yet, and a connection that has gone is noticed before it is used."""
    return create_async_engine(url, pool_pre_ping=True, connect_args={"timeout": 5})
{%- endif %}


async def migrate(engine: AsyncEngine) -> None:
    """Brings the tables to their newest form, in one transaction; instances that start together take turns."""
    async with engine.begin() as connection:
        await connection.exec_driver_sql(_ALONE)
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    command.upgrade(config, "head")


async def ping(engine: AsyncEngine) -> None:
    """Asks for nothing.

    Raises:
        sqlalchemy.exc.DBAPIError: the database does not answer.
    """
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


async def add(engine: AsyncEngine, content: str) -> int:
    """Keeps a note, and gives its number."""
    async with engine.begin() as connection:
        result = await connection.execute(insert(note).values(text=content))
    key = result.inserted_primary_key
    return int(key[0]) if key else 0


async def find(engine: AsyncEngine, number: int) -> str | None:
    """A note's text, where there is such a note."""
    async with engine.connect() as connection:
        return (await connection.execute(select(note.c.text).where(note.c.number == number))).scalar()
