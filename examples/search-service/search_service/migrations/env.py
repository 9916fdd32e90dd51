"""Alembic's entry: runs the steps on the connection, and in the transaction, that `search_service.schema` gives."""

from alembic import context

from search_service import tables

context.configure(
    connection=context.config.attributes["connection"], target_metadata=tables.metadata, compare_server_default=False
)
with context.begin_transaction():
    context.run_migrations()
