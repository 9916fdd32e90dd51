"""The connections of a client: those that are idle, and no other; whoever uses one owns it until he gives it back.

httpcore makes the connections and speaks HTTP/1.1 on them; its own pool keeps a list of all, and of those in use it
forgets some that were cancelled (httpcore 1.0.9: while a call waits for a lock or connects), and looks at each of them
several times for every call. How many calls there are at once is for `lmservice.client.connection_limit` to say.

httpx has no public way to bring a pool of one's own: `_pool` of its transports is set here, and nowhere else.
"""

from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self, TypeAlias, cast

import httpcore
import httpx

Connection: TypeAlias = httpcore.AsyncConnectionInterface
Key: TypeAlias = tuple[bytes, bytes, int]
"""The scheme, host and port that a connection leads to."""

IDLE = 100
"""The number of idle connections to one host that are kept."""
HOSTS = 200
"""The number of hosts that idle connections are kept to."""
EXPIRY = 5.0
"""The time for which an idle connection is kept, in seconds."""


def with_own_pool(transport: httpx.AsyncHTTPTransport) -> httpx.AsyncHTTPTransport:
    """Return `transport`, which was just made and has HTTP/1.1 alone, with a pool that loses no connection."""
    transport._pool = cast("httpcore.AsyncConnectionPool", Pool(transport._pool))  # noqa: SLF001 - see above
    return transport


async def sweep(transport: httpx.AsyncBaseTransport) -> None:
    """Close the connections that the pool of somebody's own transport has lost; to be called after a failed call.

    A connection that is neither idle nor closed, and that no request of the pool has, is used by nobody.
    """
    pool = getattr(transport, "_pool", None)
    if not isinstance(pool, httpcore.AsyncConnectionPool):
        return
    used = {id(request.connection) for request in pool._requests}  # noqa: SLF001 - it offers no other way
    lost = [
        connection
        for connection in pool._connections  # noqa: SLF001
        if id(connection) not in used and not connection.is_idle() and not connection.is_closed()
    ]
    for connection in lost:
        pool._connections.remove(connection)  # noqa: SLF001
    for connection in lost:
        await connection.aclose()


def own_limit(transport: httpx.AsyncBaseTransport | None) -> int | None:
    """Return how many calls at once a transport of somebody's own lets through; None where it sets no limit."""
    pool = getattr(transport, "_pool", None)
    if not isinstance(pool, httpcore.AsyncConnectionPool):
        return None
    return int(pool._max_connections)  # noqa: SLF001


class Pool:
    """Stands in for `httpcore.AsyncConnectionPool` as far as httpx's transport uses it.

    Args:
        maker: httpcore's pool, which knows how a connection is made: to the host, or through a proxy.
    """

    def __init__(self, maker: httpcore.AsyncConnectionPool) -> None:
        maker._keepalive_expiry = EXPIRY  # noqa: SLF001 - of the connections that it makes
        self._maker = maker
        self._idle: dict[Key, deque[Connection]] = {}
        self._used: dict[Connection, Key] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection, those in use as well."""
        connections = [*self._used, *(connection for idle in self._idle.values() for connection in idle)]
        self._used.clear()
        self._idle.clear()
        for connection in connections:
            await connection.aclose()

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request over the connection that was used last, or over a new one where none is idle."""
        origin = request.url.origin
        key = origin.scheme, origin.host, origin.port
        while True:
            connection = await self._take(key) or self._maker.create_connection(origin)
            self._used[connection] = key
            try:
                response = await connection.handle_async_request(request)
            except BaseException as error:
                self._used.pop(connection, None)
                await connection.aclose()  # whose transport closes at once, even in a task that has been cancelled
                if isinstance(error, httpcore.ConnectionNotAvailable):  # the host closed it in this moment
                    continue
                raise
            body = _Body(cast("Any", response.stream), self, connection)
            return httpcore.Response(
                response.status, headers=response.headers, content=body, extensions=response.extensions
            )

    async def _take(self, key: Key) -> Connection | None:
        idle = self._idle.get(key, ())
        while idle:
            connection = idle.pop()
            if connection.is_available() and not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    async def give_back(self, connection: Connection) -> None:
        """Keep a connection that can be used again, and close any other."""
        key = self._used.pop(connection, None)
        if key is None or not connection.is_idle():  # the pool was closed meanwhile, or the body was not read
            await connection.aclose()
            return
        idle = self._idle.pop(key, None)
        if idle is None:
            idle = deque()
        self._idle[key] = idle  # behind all other hosts
        idle.append(connection)
        while len(idle) > IDLE or (len(idle) > 1 and idle[0].has_expired()):
            await idle.popleft().aclose()
        await self._leave_hosts()

    async def _leave_hosts(self) -> None:
        """Close the connections of hosts that are called no longer, and forget those hosts."""
        while len(self._idle) > 1:
            key, idle = next(iter(self._idle.items()))
            if idle and len(self._idle) <= HOSTS and not idle[-1].has_expired():
                return
            while idle:
                await idle.popleft().aclose()
            if self._idle.get(key) is idle:
                del self._idle[key]


class _Body:
    """The body of an answer; whoever closes it gives the connection back."""

    def __init__(self, body: Any, pool: Pool, connection: Connection) -> None:
        self._body, self._pool, self._connection = body, pool, connection
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._body:
                yield part
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            try:
                await self._body.aclose()
            finally:
                await self._pool.give_back(self._connection)
