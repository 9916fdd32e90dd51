"""The cache of results, in Redis, which every instance shares and no search depends on.

A Redis that fails or hangs costs the searches under way its timeout, once; after that nobody waits for it but one
search a second, which looks whether it is back.
"""

import logging
import time
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

REST = 1.0
"""After a failure, how long nobody asks, in seconds."""

CONNECTIONS = 20

_log = logging.getLogger(__name__)


class Cache:
    """Results by their keys, each kept for a while.

    Args:
        url: of the Redis, as `LM_REDIS_URL`.
        timeout: for connecting, and for an answer, in seconds.
        ttl: how long a result is kept, in seconds.
        clock: seconds that only grow.
    """

    def __init__(self, url: str, timeout: float, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = Redis.from_pool(pool)
        self._milliseconds = max(1, round(ttl * 1000))
        self._clock = clock
        self._rests_until = 0.0
        self._failed = False
        self._version = b""

    def use(self, *versions: str) -> None:
        """Says what results are made of from now on: part of every key, so that none of anything else is found."""
        self._version = blake2b("\n".join(versions).encode(), digest_size=8).hexdigest().encode()

    def key(self, word: str) -> bytes:
        """Where the value for a word is kept, as of the version now in use."""
        return b"search:%b:%b" % (self._version, word.encode())

    async def get(self, key: bytes) -> bytes | None:
        """What is kept; None where nothing is, or Redis does not tell."""
        if not self._asks():
            return None
        try:
            found: Any = await self._redis.get(key)
        except (RedisError, OSError, TimeoutError) as error:
            self._fail(error)
            return None
        self._succeed()
        return None if found is None else bytes(found)

    async def put(self, key: bytes, value: bytes) -> None:
        """Keeps a value for a while, if Redis will."""
        if not self._asks():
            return
        try:
            await self._redis.set(key, value, px=self._milliseconds)
        except (RedisError, OSError, TimeoutError) as error:
            self._fail(error)
        else:
            self._succeed()

    async def ping(self) -> bool:
        """Whether Redis answers."""
        return bool(await self._redis.ping())

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose(close_connection_pool=True)

    def _asks(self) -> bool:
        """Whether Redis is to be asked; while it fails, the one who finds that its rest is over goes alone."""
        if not self._failed:
            return True
        now = self._clock()
        if now < self._rests_until:
            return False
        self._rests_until = now + REST
        return True

    def _fail(self, error: Exception) -> None:
        if not self._failed:
            _log.warning("the cache is left alone", extra={"error": f"{type(error).__name__}: {error}"})
        self._failed = True
        self._rests_until = self._clock() + REST

    def _succeed(self) -> None:
        if self._failed:
            _log.info("the cache is back")
        self._failed = False
