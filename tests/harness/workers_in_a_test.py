"""A service at the level of a module, whose workers a test starts."""

import os

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from lmservice import Service, Settings


class GreetingSettings(Settings):
    greeting: str = "hello"


async def worker(request: Request) -> Response:
    return PlainTextResponse(f"{request.state.settings.greeting} {os.getpid()}")


service = Service("in-a-test", routes=[Route("/", worker)], settings=GreetingSettings)
