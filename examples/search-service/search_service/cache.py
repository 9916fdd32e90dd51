"""The cache of results, in Redis, which every instance shares and no search depends on.

A Redis that fails or hangs costs the searches under way its timeout, once; after that nobody waits for it but one
search a second, which looks whether it is back. One that answers but refuses what is to be kept (its memory is full, it
is a replica, its disk fails) goes on being read, and is asked to keep something once a second.
"""

import logging
import time
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

REST = 1.0
"""The time after a failure in which nobody asks, in seconds."""

CONNECTIONS = 20

_log = logging.getLogger(__name__)


class Patience:
    """Whether something that may fail is to be asked, and one line when it begins to fail and when it is back.

    Args:
        clock: seconds that only grow.
        failed: the line as it begins to fail.
        back: the line once it is back.
    """

    def __init__(self, clock: Callable[[], float], *, failed: str, back: str) -> None:
        self._clock = clock
        self._lines = failed, back
        self._rests_until = 0.0
        self.exhausted = False

    def asks(self) -> bool:
        """Return whether to ask; while it fails, the one who finds that its rest is over goes alone."""
        if not self.exhausted:
            return True
        now = self._clock()
        if now < self._rests_until:
            return False
        self._rests_until = now + REST
        return True

    def fail(self, error: Exception) -> None:
        """Begin a rest."""
        if not self.exhausted:
            _log.warning(self._lines[0], extra={"error": f"{type(error).__name__}: {error}"})
        self.exhausted = True
        self._rests_until = self._clock() + REST

    def succeed(self) -> None:
        """End the rest."""
        if self.exhausted:
            _log.info(self._lines[1])
        self.exhausted = False


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
        self._server = Patience(clock, failed="the cache is left alone", back="the cache is back")
        self._writes = Patience(clock, failed="the cache keeps nothing new", back="the cache keeps results again")
        self._version = b""

    def use(self, *versions: str) -> None:
        """Say what results are made of from now on: part of every key, so that none of anything else is found."""
        self._version = blake2b("\n".join(versions).encode(), digest_size=8).hexdigest().encode()

    def key(self, word: str) -> bytes:
        """Return where the value for a word is kept, as of the version now in use."""
        return b"search:%b:%b" % (self._version, word.encode())

    async def get(self, key: bytes) -> bytes | None:
        """Return what is kept; None where nothing is, or Redis does not tell."""
        if not self._server.asks():
            return None
        try:
            found: Any = await self._redis.get(key)
        except (RedisError, OSError, TimeoutError) as error:
            self._server.fail(error)
            return None
        self._server.succeed()
        return None if found is None else bytes(found)

    async def put(self, key: bytes, value: bytes) -> None:
        """Keep a value for a while, if Redis will."""
        if not (self._writes.asks() and self._server.asks()):
            return
        try:
            await self._redis.set(key, value, px=self._milliseconds)
        except ResponseError as error:  # it is there, and says no
            self._server.succeed()
            self._writes.fail(error)
        except (RedisError, OSError, TimeoutError) as error:
            self._server.fail(error)
        else:
            self._server.succeed()
            self._writes.succeed()

    async def ping(self) -> bool:
        """Return whether Redis answers."""
        return bool(await self._redis.ping())

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose(close_connection_pool=True)
