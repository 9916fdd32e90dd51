"""A service whose faults are settings, so that each version that a test releases goes wrong in its own way."""

import asyncio
import random
import sys
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lmservice import Service, Settings


class TrialSettings(Settings):
    """What is wrong with this version."""

    fault: Literal["", "crash", "never_ready"] = ""
    error_ratio: float = 0.0
    latency: float = 0.0


async def answer(request: Request) -> JSONResponse:
    """One answer, as late and as often an error as the version is bad."""
    settings: TrialSettings = request.state.settings
    await asyncio.sleep(settings.latency)
    status = 500 if random.random() < settings.error_ratio else 200
    return JSONResponse({"version": settings.version, "instance": settings.instance}, status_code=status)


service = Service("trial", routes=[Route("/", answer)], settings=TrialSettings)


@service.startup_job
async def begin(state: Any) -> None:
    """Ends the process, or leaves it starting for ever, where the version is to do so."""
    if state.settings.fault == "crash":
        sys.exit(1)
    if state.settings.fault == "never_ready":
        await asyncio.sleep(3600)
