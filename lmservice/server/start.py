"""The start: the service's clients, the start-up jobs, the app's lifespan, within `LM_STARTUP_TIMEOUT`."""

import asyncio
import contextlib
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager

from lmservice.errors import StartError
from lmservice.jobs.startup import Startup
from lmservice.telemetry import context
from lmservice.web.lifespan import Lifespan


async def prepare(
    startup: Startup,
    lifespan: Lifespan,
    *,
    clients: Iterable[AbstractAsyncContextManager[object]],
    opened: contextlib.AsyncExitStack,
    limit: float,
) -> None:
    """Make all that requests need, in its order.

    Args:
        startup: the start-up jobs.
        lifespan: the app's own, which runs after them.
        clients: the service's, which jobs may use.
        opened: gets the clients, to close them with.
        limit: what all of it may take, in seconds.

    Raises:
        StartError: naming what failed, or took too long.
    """
    due = asyncio.get_running_loop().time() + limit
    for client in clients:
        await opened.enter_async_context(client)
    with context.span("startup", attributes={}):
        await startup.run(limit)
    try:
        async with asyncio.timeout_at(due):
            await lifespan.start()
    except TimeoutError:
        raise StartError(f"the app's lifespan did not start within LM_STARTUP_TIMEOUT, {limit:g} s") from None


def as_start_error(error: BaseException) -> StartError:
    """Return a start's failure as what is told of it, whatever it was."""
    if isinstance(error, StartError):
        return error
    failure = StartError(f"the service could not start: {type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
