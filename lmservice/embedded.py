"""A service as an ASGI app: for starlette's `TestClient`, for httpx's `ASGITransport`, for another server.

Its lifespan loads the settings, runs the start-up jobs and the app's own lifespan, and at its end the clean-up in
reverse. Requests get what the jobs have made, and an id; nothing else of a running service is there: no ports, no
management listener, no health checks, no periodic jobs, no limits, no drain.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lmservice.errors import LmserviceError
from lmservice.jobs.startup import Startup
from lmservice.jobs.startup_graph import Job
from lmservice.lifecycle import Lifecycle, State, StopCause
from lmservice.settings.model import Settings
from lmservice.telemetry import metrics
from lmservice.web.ids import RequestContext
from lmservice.web.lifespan import Lifespan


class Embeddable(Protocol):
    """What is asked of the service."""

    name: str
    app: ASGIApp
    metrics: metrics.Metrics
    jobs: list[Job]

    @property
    def settings_class(self) -> type[Settings]:
        """Return the class of its settings."""

    @property
    def clients(self) -> Sequence[AbstractAsyncContextManager[object]]:
        """Return its outbound clients."""

    def check(self, settings: Settings | None = None) -> None:
        """Make sure that its jobs can be run."""


class EmbeddedService:
    """Speaks ASGI for a service.

    Args:
        service: which may be begun and ended again and again, and is never begun twice at once.
    """

    def __init__(self, service: Embeddable) -> None:
        self._service = service
        self._state: dict[str, Any] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the lifespan, or answer a request or a WebSocket.

        Raises:
            RuntimeError: the lifespan has not been begun, or twice at once.
        """
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        if self._state is None:
            name = self._service.name
            raise RuntimeError(f"service {name!r} has not started: write `with TestClient(service) as client:`")
        scope["state"] = {**self._state, **scope.get("state", {})}
        request = RequestContext(scope, dict(scope["headers"]))
        metrics.current.set(self._service.metrics)
        await self._service.app(scope, receive, _with_id(send, request.request_id.encode()))

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        async with contextlib.AsyncExitStack() as life:
            try:
                self._state = await life.enter_async_context(self._started())
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                raise
            scope.get("state", {}).update(self._state)
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    @contextlib.asynccontextmanager
    async def _started(self) -> AsyncIterator[dict[str, Any]]:
        """Run the start, and at the end the clean-up; give what requests find in `request.state`."""
        service = self._service
        if self._state is not None:
            raise RuntimeError(f"service {service.name!r} runs already: end one client before the next begins")
        settings = service.settings_class.load()
        service.check(settings)
        service.metrics.begin_run()
        lifecycle = Lifecycle()
        lifecycle.attach(asyncio.get_running_loop())
        state: dict[str, Any] = {"settings": settings, "lifecycle": lifecycle}
        startup, lifespan = Startup(service.jobs, state), Lifespan(service.app, state)
        async with contextlib.AsyncExitStack() as clean_up:
            for client in service.clients:
                await clean_up.enter_async_context(client)
            clean_up.push_async_callback(_clean_up, startup, settings.cleanup_timeout)
            await startup.run(settings.startup_timeout)
            clean_up.push_async_callback(lifespan.stop)
            await lifespan.start()
            lifecycle.advance(State.READY)
            try:
                yield state
            finally:
                self._state = None
                lifecycle.stop(StopCause("test"))


async def _clean_up(startup: Startup, limit: float) -> None:
    if problems := await startup.clean_up(limit, limit):
        raise LmserviceError("\n".join(problems))


def _with_id(send: Send, request_id: bytes) -> Send:
    """Return `send` with the request's id among the headers of the response."""

    async def answer(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.accept"):
            message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", request_id)]}
        await send(message)

    return answer
