"""The schema of the database, brought up to date by Alembic.

The step is a transaction of its own, before the import: what it locks it does not lock for long, and instances of the
version before, which are still there in a release, go on reading. Steps only ever add, until nobody reads what went.
"""

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from search_service import tables
from search_service.database import Database

HEAD = "0003"
"""The last of `migrations/versions`."""

_VERSION = Table("alembic_version", MetaData(), Column("version_num", String))


async def upgrade(database: Database) -> None:
    """Brings the schema up to date, where it is not: one instance does, and the others wait for it."""
    async with database.engine.connect() as connection:
        current = await connection.run_sync(_is_current)
    if not current:
        await database.write(lambda connection: connection.run_sync(_upgrade))


def _is_current(connection: Connection) -> bool:
    if not inspect(connection).has_table(_VERSION.name) or _is_first(connection):
        return False
    return connection.scalar(select(_VERSION.c.version_num)) == HEAD


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - costs every start what only the first needs
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", f"{__package__}:migrations")
    if _is_first(connection):
        command.stamp(config, "0001")
    command.upgrade(config, HEAD)


def _is_first(connection: Connection) -> bool:
    """Whether the tables are those of the first version, which knew no Alembic and made them all itself."""
    found, name = inspect(connection), tables.flight.name
    return found.has_table(name) and "price" not in {column["name"] for column in found.get_columns(name)}
