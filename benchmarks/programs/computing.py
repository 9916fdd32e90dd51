"""The endpoint of the overhead benchmark, and one that computes for a millisecond, as a service with its own work."""

import time

from overhead_bare import routes
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lmservice import Service

WORK = 0.001


async def compute(_: Request) -> JSONResponse:
    """Takes a core for `WORK` seconds of its time."""
    end = time.thread_time() + WORK
    while time.thread_time() < end:
        pass
    return JSONResponse({"computed": True})


service = Service("computing", routes=[*routes, Route("/compute", compute)])
