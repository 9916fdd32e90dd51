"""What the tests of the management listener share: services that run inside the test."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from lmservice import Service


async def home(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("home")


def program(**options: Any) -> Service:
    """A service with a job of each kind, a check and a route."""
    service = Service("flights", routes=[Route("/home", home)], **options)

    @service.startup_job
    async def timetable() -> str:
        return "read"

    @service.health_check(interval=60)
    async def database() -> None: ...

    @service.periodic_job(every=100_000)
    async def refresh() -> None: ...

    return service


def refused(attempts: int) -> str:
    """A program whose start fails with its last attempt, which waits for a file `gate` beside it."""
    return f"""
import asyncio
from pathlib import Path
from lmservice import Service

service = Service("refused", routes=[])
attempts = []

@service.startup_job(attempts={attempts})
async def database(state):
    attempts.append(None)
    while len(attempts) == {attempts} and not Path("gate").exists():
        await asyncio.sleep(0.02)
    raise ConnectionRefusedError("db.intra refused")
"""


@pytest.fixture(scope="module")
async def shared(serve_module: Callable[..., Awaitable[Any]]) -> Any:
    """One such service for the tests of a module that change nothing."""
    return await serve_module(program(version="1.2.3"), management_hosts=("flights.internal",))


@pytest.fixture
def flights(serve: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Runs that service, with settings."""

    async def started(**settings: Any) -> Any:
        return await serve(program(version="1.2.3"), **settings)

    return started
