"""Services with ten start-up jobs of one second each, none of which needs another."""

import asyncio
import time

from bare import routes

from lmservice import Service

JOBS = 10
SECONDS = 1.0


async def sleep(_state: object) -> None:
    """A second of waiting on the service's loop."""
    await asyncio.sleep(SECONDS)


def block(_state: object) -> None:
    """A second of waiting in a worker thread."""
    time.sleep(SECONDS)


coroutines = Service("coroutines", routes=routes)
functions = Service("functions", routes=routes)
for number in range(JOBS):
    coroutines.startup_job(name=f"job_{number}")(sleep)
    functions.startup_job(name=f"job_{number}")(block)
