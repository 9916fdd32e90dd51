"""The yardstick: what one writes without lmservice. `LATENCY`, in seconds, is how long its handler waits."""

import asyncio
import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

LATENCY = float(os.environ.get("LATENCY", "0"))


async def hello(request: Request) -> JSONResponse:
    """Greets, as the contract's hello service does."""
    if LATENCY:
        await asyncio.sleep(LATENCY)
    return JSONResponse({"hello": request.path_params["name"]})


routes = [Route("/hello/{name}", hello)]
app = Starlette(routes=routes)
