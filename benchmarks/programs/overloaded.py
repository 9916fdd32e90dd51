"""What the overload benchmark asks: two milliseconds of computing, and a dependency that serves ten at once.

`service` is lmservice's, `app` the same handlers in bare starlette. SIGUSR1 makes the dependency ten times slower,
SIGUSR2 takes that back.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from lmservice import Service

COMPUTING = 0.002
AT_ONCE = 10
WAITING = 0.01
SLOWER = 10


class Dependency:
    """Serves so many at once, and lets the others wait."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)
        self.seconds = WAITING

    async def ask(self) -> None:
        """Wait for a turn, then for the answer."""
        async with self._places:
            await asyncio.sleep(self.seconds)

    def listen(self) -> None:
        """Be slower, or as quick as before, when a signal says so."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, lambda: setattr(self, "seconds", WAITING * SLOWER))
        loop.add_signal_handler(signal.SIGUSR2, lambda: setattr(self, "seconds", WAITING))


dependency = Dependency()


async def compute(_: Request) -> Response:
    """Keep the core for a while, by its own clock."""
    end = time.thread_time() + COMPUTING
    while time.thread_time() < end:
        pass
    return PlainTextResponse("computed")


async def wait(_: Request) -> Response:
    """Ask the dependency."""
    await dependency.ask()
    return PlainTextResponse("waited")


async def hello(_: Request) -> Response:
    """Answer at once."""
    return PlainTextResponse("hello")


routes = [Route("/compute", compute), Route("/wait", wait), Route("/hello", hello)]
service = Service("overload", routes=routes)


@service.startup_job()
async def listening(_state: object) -> None:
    """Have the signals heard on the loop that serves."""
    dependency.listen()


@contextlib.asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    """Do the same without lmservice."""
    dependency.listen()
    yield


app = Starlette(routes=routes, lifespan=lifespan)
