"""A service with one slow route and one quick one, and families that Graphite cannot be told as they are."""

import asyncio
import math
import os

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from lmservice import Service


async def hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def slow(_: Request) -> PlainTextResponse:
    await asyncio.sleep(2)
    return PlainTextResponse("slow")


service = Service("pushed", routes=[Route("/hello/{name}", hello), Route("/slow", slow)])
odd = service.metrics.gauge("odd", "Odd labels.", ["name", "kind"])
odd.labels("a b;c", "~x").set(1)
odd.labels("other", "").set(2)
odd.labels("ünï", "/{y}").set(3)
number = service.metrics.gauge("number", "Odd numbers.", ["which"])
number.labels("nan").set(math.nan)
number.labels("infinite").set(math.inf)
number.labels("small").set(1e-300)
long = service.metrics.gauge("long", "Longer than a line of carbon's.", ["which"])
long.labels("x" * int(os.environ.get("LM_LONG", "0"))).set(1)
long.labels("short").set(2)
service.metrics.gauge("after_it", "What is told after it.").set(1)
many = service.metrics.gauge("many", "Enough to fill any buffer.", ["one"])
for one in range(int(os.environ.get("MANY", "0"))):
    many.labels(f"{one:0400}").set(one)
