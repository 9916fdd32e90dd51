"""The access line of the stacks that bring none: structlog in its fastest form, one JSON line a request on stdout."""

import logging
import time

import structlog
from asgi_correlation_id import correlation_id
from msgspec.json import encode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.JSONRenderer(serializer=lambda event, **_: encode(event)),
    ],
    wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    logger_factory=structlog.BytesLoggerFactory(),
    cache_logger_on_first_use=True,
)
_log = structlog.get_logger(service="overhead", version="", environment="dev", instance="one")


class AccessLog:
    """A plain ASGI middleware: times the request, and logs it by its id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            _log.info(
                "http.request",
                request_id=correlation_id.get(),
                method=scope["method"],
                path=scope["path"],
                status=status,
                duration=time.perf_counter() - began,
            )
