"""What alembic runs a migration with: the connection that `store.migrate` hands over, or one of its own."""

import asyncio

from alembic import context
from sqlalchemy import Connection

from {{ cookiecutter.__package }} import store
from {{ cookiecutter.__package }}.settings import {{ cookiecutter.__class }}Settings


def run(connection: Connection) -> None:
    """Runs what was asked for inside the transaction that is open."""
    context.configure(connection=connection, target_metadata=store.metadata)
    context.run_migrations()


async def run_alone() -> None:
    """Runs it from the command line of alembic, on the service's database."""
    engine = store.open_engine({{ cookiecutter.__class }}Settings.load().database_url)
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


given = context.config.attributes.get("connection")
if given is None:
    asyncio.run(run_alone())
else:
    run(given)
