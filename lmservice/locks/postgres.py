"""A lock in PostgreSQL: a row for each job, which has the number of the last turn that has begun."""

from typing import Any

from lmservice.errors import MissingExtraError
from lmservice.locks.url import url_of

_TABLE = "create table if not exists lmservice_turns (job text primary key, turn bigint not null)"
_BEGIN = """
insert into lmservice_turns as begun (job, turn) values ($1, $2)
on conflict (job) do update set turn = excluded.turn where begun.turn < excluded.turn
returning turn
"""


class PostgresLock:
    """Counts turns in a table that it makes, `lmservice_turns` (the extra `lmservice[postgres]`).

    Each turn is begun over a connection of its own. Where the role may not create tables, make it beforehand:
    `create table lmservice_turns (job text primary key, turn bigint not null)`.

    Args:
        url: the name of the setting that has PostgreSQL's URL; a driver in it, as in `postgresql+asyncpg://`, is left
            out.
    """

    def __init__(self, url: str = "database_url") -> None:
        self._setting = url

    def turns(self, settings: Any) -> "_PostgresTurns":
        """Return where the turns are counted.

        Raises:
            ServiceDefinitionError: the setting is missing or empty.
            MissingExtraError: asyncpg is not installed.
        """
        url = url_of(settings, self._setting, "PostgresLock")
        try:
            import asyncpg  # type: ignore[import-untyped] # noqa: PLC0415 - it comes with an extra
        except ImportError:
            raise MissingExtraError("PostgresLock needs asyncpg: pip install 'lmservice[postgres]'") from None
        scheme, _, rest = url.partition("://")
        return _PostgresTurns(asyncpg, f"{scheme.partition('+')[0]}://{rest}")


class _PostgresTurns:
    def __init__(self, asyncpg: Any, url: str) -> None:
        self._asyncpg, self._url = asyncpg, url

    async def begin(self, job: str, turn: int) -> bool:
        """Set the row to the turn, unless it has this or a later one."""
        connection = await self._asyncpg.connect(self._url)
        try:
            try:
                return await connection.fetchval(_BEGIN, job, turn) is not None
            except self._asyncpg.UndefinedTableError:
                await self._make_table(connection)
                return await connection.fetchval(_BEGIN, job, turn) is not None
        finally:
            await connection.close()

    async def _make_table(self, connection: Any) -> None:
        try:
            await connection.execute(_TABLE)
        except (self._asyncpg.UniqueViolationError, self._asyncpg.DuplicateTableError):
            return  # another instance has made it in the same moment, which `if not exists` does not see
