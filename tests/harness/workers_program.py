"""The service that the tests of workers run: what it does wrong is asked for by requests and by the environment."""

import asyncio
import gc
import logging
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from lmservice import Service
from lmservice.console.picture import Observation
from lmservice.console.slowest import Slowest

log = logging.getLogger("program")


async def worker(request: Request) -> Response:
    return PlainTextResponse(f"{request.state.lifecycle.worker} {os.getpid()}")


async def slow(request: Request) -> Response:
    await asyncio.sleep(float(request.path_params["seconds"]))
    return PlainTextResponse("slow")


async def block(request: Request) -> Response:
    time.sleep(float(request.path_params["seconds"]))  # noqa: ASYNC251 - what it is for
    return PlainTextResponse("blocked")


async def say(request: Request) -> Response:
    log.debug("a detail")
    log.info("said", extra={"what": "x" * request.path_params["length"]})
    return PlainTextResponse("said")


async def stuck(_: Request) -> Response:
    print("stuck", flush=True)  # noqa: T201 - for the test to see
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            log.info("goes on")


async def set_jobs(request: Request) -> Response:
    jobs.set(request.path_params["number"])
    highest.set(request.path_params["number"])
    return PlainTextResponse("set")


async def end_holding(request: Request) -> Response:
    request.state.holding.set()
    return PlainTextResponse("ended")


async def watched(_: Request) -> Response:
    kinds = [kind for kind in (Observation, Slowest) if any(isinstance(each, kind) for each in gc.get_objects())]
    return PlainTextResponse(" and ".join(kind.__name__ for kind in kinds))


service = Service(
    "workers",
    routes=[
        Route("/worker", worker),
        Route("/slow/{seconds}", slow),
        Route("/block/{seconds}", block),
        Route("/say/{length:int}", say),
        Route("/stuck", stuck),
        Route("/jobs/{number:int}", set_jobs),
        Route("/end", end_holding),
        Route("/watched", watched),
    ],
)
jobs = service.metrics.gauge("jobs", "Jobs that wait.")
highest = service.metrics.gauge("highest", "The most that any worker has seen.", multiprocess_mode="max")


def hangs() -> bool:
    return Path(os.environ.get("HANGS", "/nonesuch")).exists()


@service.startup_job
async def database(state: Any) -> str:
    if os.environ.get("FAILS") == str(state.lifecycle.worker):
        await asyncio.sleep(float(os.environ.get("FAILS_AFTER", "0")))
        raise RuntimeError("no database")
    while hangs():  # noqa: ASYNC110 - on a file
        await asyncio.sleep(0.02)
    return "open"


async def fail_after(event: asyncio.Event) -> None:
    await event.wait()
    raise RuntimeError("the connection is gone")


@service.startup_job
async def holding() -> AsyncIterator[asyncio.Event]:
    ended = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        failing = group.create_task(fail_after(ended))
        yield ended
        failing.cancel()
    os.write(1, b"cleaned up\n")  # at once, which print is not


@service.startup_job
def dies() -> None:
    if "DIES" in os.environ and Path(os.environ["DIES"]).exists():
        threading.Timer(0.3, os._exit, [9]).start()


@service.health_check(interval=0.1, failures=1, successes=1, critical=True)
def reachable(state: Any) -> bool:
    return not Path(os.environ.get("DOWN", "/nonesuch") + str(state.lifecycle.worker)).exists()
