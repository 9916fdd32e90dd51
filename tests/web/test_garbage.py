"""A request leaves nothing behind that the cycle collector would have to find."""

import gc
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from strict_client import request_bytes

from lmservice import Service
from lmservice.web.cycle import Cycle
from lmservice.web.exchange import Exchange

pytestmark = pytest.mark.anyio


async def hello(request: Request) -> Response:
    return JSONResponse(request.path_params)


async def read(request: Request) -> Response:
    return JSONResponse(len(await request.body()))


async def test_no_request_is_garbage_of_the_collectors(serve: Any, connect: Any) -> None:
    routes = [Route("/hello/{name}", hello), Route("/read", read, methods=["POST"])]
    served = await serve(Service("garbage", routes=routes))
    connection = await connect(served.port)
    requests = [request_bytes("/hello/x"), request_bytes("/nonesuch"), request_bytes("/read", method="POST", body=b"x")]
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(5):
            for request in requests:
                await connection.request(request)
        gc.collect()
        kept = [thing for thing in gc.garbage if isinstance(thing, Exchange | Cycle)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert len(kept) <= 1, "the last of them may still be in use"
