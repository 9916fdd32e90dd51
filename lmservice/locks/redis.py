"""A lock in Redis or Valkey: a key for each job, which has the number of the last turn that has begun."""

from typing import Any

from lmservice.errors import MissingExtraError
from lmservice.locks.url import url_of

_BEGIN = """
local begun = redis.call('GET', KEYS[1])
if begun and tonumber(begun) >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""


class RedisLock:
    """Counts turns in Redis (the extra `lmservice[redis]`); each turn is begun over a connection of its own.

    A fail-over to a replica that lags behind may forget a turn, which then begins twice.

    Args:
        url: the name of the setting that has Redis' URL, `redis://host:6379/0`.
        prefix: what the keys begin with.
    """

    def __init__(self, url: str = "redis_url", *, prefix: str = "lmservice:turn:") -> None:
        self._setting, self._prefix = url, prefix

    def turns(self, settings: Any) -> "_RedisTurns":
        """Return where the turns are counted.

        Raises:
            ServiceDefinitionError: the setting is missing or empty.
            MissingExtraError: redis is not installed.
        """
        url = url_of(settings, self._setting, "RedisLock")
        try:
            from redis.asyncio import Redis  # noqa: PLC0415 - it comes with an extra
        except ImportError:
            raise MissingExtraError("RedisLock needs redis: pip install 'lmservice[redis]'") from None
        return _RedisTurns(Redis, url, self._prefix)


class _RedisTurns:
    def __init__(self, client: Any, url: str, prefix: str) -> None:
        self._client, self._url, self._prefix = client, url, prefix

    async def begin(self, job: str, turn: int) -> bool:
        """Set the key to the turn, unless it has this or a later one."""
        async with self._client.from_url(self._url) as redis:
            return bool(await redis.eval(_BEGIN, 1, f"{self._prefix}{job}", turn))
