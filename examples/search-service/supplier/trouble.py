"""Trouble on purpose: answers that come late, fail, or never come."""

import asyncio
from random import random

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send


class Troubled:
    """An ASGI app that is as slow, as faulty and as silent as the supplier's settings say."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers for the app, or lets it answer."""
        if scope["type"] == "http" and (answer := await _trouble(Request(scope))) is not None:
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)


async def _trouble(request: Request) -> Response | None:
    settings = request.state.settings
    if random() < settings.supplier_hang_rate:
        await request.state.lifecycle.wait_draining()  # nothing else ends it but whoever waits for the answer
    await asyncio.sleep(settings.supplier_latency)
    if random() < settings.supplier_error_rate:
        return Response("out of order", 503, media_type="text/plain")
    return None
