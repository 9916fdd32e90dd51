"""The endpoints of the management listener."""

import asyncio
import logging
import platform
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from lmservice.errors import ProfileError
from lmservice.lifecycle import State, StopCause
from lmservice.management.guard import OPEN, Guard
from lmservice.management.managed import Managed
from lmservice.management.responses import as_json, missing, refusal
from lmservice.management.scrapes import Scrapes
from lmservice.runtime.profiling import ProfileRequest
from lmservice.timestamps import rfc3339

if TYPE_CHECKING:
    from lmservice.console.stream import Events

_MOST_BODY = 65_536

_log = logging.getLogger("lmservice.management")


Endpoint = Callable[[Request], Awaitable[Response]]


class Endpoints:
    """The ASGI application of the management listener."""

    def __init__(self, instance: Managed) -> None:
        self._instance = instance
        self._guard = Guard(instance.settings)
        self._events: Events | None = None
        self._closed = False
        self._scrapes = Scrapes(instance)
        self.routes: dict[str, dict[str, Endpoint]] = {
            "/": {"GET": self._index},
            "/events": {"GET": self._watch},
            "/livez": {"GET": self._livez},
            "/startupz": {"GET": self._startupz},
            "/readyz": {"GET": self._readyz},
            "/metrics": {"GET": self._metrics},
            "/info": {"GET": self._info},
            "/config": {"GET": self._restricted(self._config)},
            "/loggers": {"GET": self._loggers},
            "/loggers/{name}": {"PUT": self._acting(self._change_logger)},
            "/tasks": {"GET": self._restricted(self._tasks)},
            "/profile": {"GET": self._acting(self._profile)},
            "/stop": {"GET": self._acting(self._stop), "POST": self._acting(self._stop)},
        }

    def close(self) -> None:
        """End what would not end by itself: changed levels, and the streams of those who watch."""
        self._closed = True
        self._instance.levels.revert_all()
        report = self._instance.report
        if self._events is not None:
            self._events.close(report.result() if report.done() else None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send, connection: object = None) -> None:
        """Answer one request."""
        del connection
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        request = Request(scope, receive)
        response = await self._answer(request)
        response.headers["cache-control"] = "no-store"
        if self._instance.lifecycle.state is State.STOPPED:
            response.headers["connection"] = "close"
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.scope["path"]  # as it came: a URL object would drop line ends
        if path not in OPEN and (objection := self._guard.objection(request)):
            return self._refused(request, objection)
        if path.startswith("/console.") and request.method in ("GET", "HEAD"):
            return self._asset(path)
        template = "/loggers/{name}" if path.startswith("/loggers/") else path
        methods = self.routes.get(template)
        if methods is None:
            return missing(path)
        method = "GET" if request.method == "HEAD" and path != "/stop" else request.method
        if method not in methods:
            allow = ", ".join(methods)
            return refusal(405, f"{path} takes {allow}", {"allow": allow})
        try:
            return await methods[method](request)
        except Exception:  # noqa: BLE001 - one endpoint must not take the listener down
            _log.exception("%s %s failed", request.method, path)
            return refusal(500, f"{path} failed; the log says how")

    def _restricted(self, endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)
        async def restricted(request: Request) -> Response:
            if self._guard.allows(request):
                return await endpoint(request)
            return self._refused(request, "the peer's address is not in LM_MANAGEMENT_ALLOW")

        return restricted

    def _acting(self, endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)
        async def proven(request: Request) -> Response:
            if objection := self._guard.proof_missing(request):
                return self._refused(request, objection)
            return await endpoint(request)

        return self._restricted(proven)

    def _refused(self, request: Request, objection: str) -> Response:
        peer = request.client.host if request.client else "?"
        _log.warning(
            "lmservice.management_refused",
            extra={"method": request.method, "path": request.scope["path"], "peer": peer, "reason": objection},
        )
        return refusal(403, objection)

    async def _livez(self, _request: Request) -> Response:
        """200 while the process is well, draining included; 503 once the loop stands still for `LM_LIVENESS_STALL`."""
        return self._probe(well=self._instance.well)

    async def _startupz(self, _request: Request) -> Response:
        """503 until the start-up jobs are done, then 200."""
        return self._probe(well=self._instance.started)

    async def _readyz(self, _request: Request) -> Response:
        """200 while requests should come; 503 while starting, draining, or with a critical check down."""
        return self._probe(well=self._instance.ready)

    def _probe(self, *, well: bool) -> Response:
        state = self._instance.lifecycle.state.value
        body = {"status": "up" if well else "down", "state": state, **self._instance.progress()}
        return as_json(body, 200 if well else 503)

    async def _metrics(self, request: Request) -> Response:
        """The metrics, as Prometheus' text, or OpenMetrics where that is asked for; gzip where that is accepted."""
        return await self._scrapes.answer(request)

    async def _info(self, _request: Request) -> Response:
        """Name, version, environment, instance and revision, and since when it runs."""
        return as_json(self._introduction())

    def _introduction(self) -> dict[str, Any]:
        return {
            **self._instance.info(),
            "python": platform.python_version(),
            "started_at": rfc3339(self._instance.started_at),
            "uptime_seconds": round(self._instance.lifecycle.uptime, 3),
        }

    async def _watch(self, request: Request) -> Response:
        """What the console shows, as server-sent events."""
        from lmservice.console.stream import MOST, Events  # noqa: PLC0415 - as in _config

        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        if self._events is None:
            self._events = Events(self._instance.lifecycle, self._instance.observation(), self._introduction)
        stream = None if self._closed else await self._events.answer(allowed=self._guard.allows(request))
        if stream is not None:
            return stream
        detail = f"{MOST} observers watch, as many as there may be: close one, or try again later"
        return refusal(503, detail, {"retry-after": "5"})

    def _asset(self, path: str) -> Response:
        from lmservice.console.page import ASSETS, asset  # noqa: PLC0415 - as in _config

        return asset(path.removeprefix("/")) if path in ASSETS else missing(path)

    async def _config(self, _request: Request) -> Response:
        """Every setting: its value, its default and where it came from; what may be secret is masked."""
        from lmservice.settings import report  # noqa: PLC0415 - costs every start what few ask for

        body = report.as_json(self._instance.settings)
        return Response(body, media_type="application/json")

    async def _loggers(self, _request: Request) -> Response:
        """The levels of all loggers."""
        return as_json({"loggers": await self._instance.levels.report_of_all()})

    async def _change_logger(self, request: Request) -> Response:
        """Changes a level for a time: `{"level": "DEBUG", "duration": 600}`, in seconds."""
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _MOST_BODY:
                return refusal(413, f"the body is larger than {_MOST_BODY} bytes", {"connection": "close"})
        try:
            change = await self._instance.levels.set_everywhere(request.scope["path"].removeprefix("/loggers/"), body)
        except ValueError as error:
            return refusal(422, str(error))
        _log.warning("lmservice.log_level_changed", extra={"changed": change})
        return as_json(change)

    async def _tasks(self, _request: Request) -> Response:
        """The stack of every asyncio task and every thread."""
        return as_json(await self._instance.tasks())

    async def _profile(self, request: Request) -> Response:
        """What the event loop's thread spends its time on: `?seconds=10&format=text`, or `html`, or `speedscope`.

        Of several workers, the first, or `&worker=2`. Needs `lmservice[profile]`.
        """
        try:
            body, kind = await self._instance.profile(ProfileRequest.read(request.query_params))
        except ProfileError as error:
            return refusal(error.status, str(error))
        return Response(body, headers={"content-type": kind})

    async def _stop(self, _request: Request) -> Response:
        """Stops the service; answers with the report once it has drained, after which the process ends."""
        self._instance.lifecycle.stop(StopCause("/stop"))
        return as_json(await asyncio.shield(asyncio.wrap_future(self._instance.report)))

    async def _index(self, request: Request) -> Response:
        """The console for a browser; for everything else, the list of endpoints."""
        if "text/html" in request.headers.get("accept", ""):
            from lmservice.console.page import asset  # noqa: PLC0415 - as in _config

            return asset("console.html")
        info = self._instance.info()
        lines = [f"{info['name']} {info['version']} is {self._instance.lifecycle.state.value}.", ""]
        lines += [f"{' '.join(methods):9} {path}" for path, methods in self.routes.items()]
        return PlainTextResponse("\n".join(lines) + "\n")
