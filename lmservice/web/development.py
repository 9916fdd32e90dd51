"""What a request gets in `dev` alone: an answer that leads on, where frameworks answer without a reason.

- The plain `Internal Server Error` by which starlette and FastAPI answer an exception, which they then raise again, is
  held back, so that the layer around the app can answer with the reason.
- 404 of a path that the management listener has says where that is.
"""

from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lmservice.settings.model import Settings
from lmservice.web.problem import MEDIA_TYPE, problem
from lmservice.web.routes import NONE, RouteTemplates

MANAGEMENT_PATHS: Final = frozenset(
    (
        "/config",
        "/events",
        "/info",
        "/livez",
        "/loggers",
        "/metrics",
        "/profile",
        "/readyz",
        "/startupz",
        "/stop",
        "/tasks",
    )
)
"""The paths of the management listener, but for `/`, which a service may well lack."""

_STARLETTES: Final = b"Internal Server Error"


def advising(app: ASGIApp, settings: Settings, templates: RouteTemplates) -> ASGIApp:
    """Return a service's app, in `dev` wrapped."""
    return Development(app, settings, templates) if settings.environment == "dev" else app


class Development:
    """Wraps the app of a service in `dev`."""

    def __init__(self, app: ASGIApp, settings: Settings, templates: RouteTemplates) -> None:
        self._app = app
        self._port = settings.management_port
        self._templates = templates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        answer = _Answer(self, scope, send)
        await self._app(scope, receive, answer.send)  # where it raises, what is held back is dropped
        await answer.release()

    def advice(self, scope: Scope) -> str:
        """Return where an unknown path is to be found; '' where nobody has it."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path not in MANAGEMENT_PATHS or self._templates.of(scope) != NONE:
            return ""
        where = f"http://localhost:{self._port}{path}" if self._port else "the log has its address (management_url)"
        return f"{path} is on the management listener: {where}"


class _Answer:
    """The answer to one request, parts of which may be held back."""

    def __init__(self, development: Development, scope: Scope, send: Send) -> None:
        self._development, self._scope, self._send = development, scope, send
        self._held: list[Message] = []
        self._replaced = False

    async def send(self, message: Message) -> None:
        """Pass a message on, unless it is held back or replaced."""
        if self._replaced:
            return
        if self._held:
            self._held.append(message)
            if message.get("body") != _STARLETTES or message.get("more_body"):
                await self.release()
        elif message.get("status") == HTTPStatus.INTERNAL_SERVER_ERROR:
            self._held.append(message)
        elif message.get("status") == HTTPStatus.NOT_FOUND and (advice := self._development.advice(self._scope)):
            self._replaced = True
            await self._advise(advice)
        else:
            await self._send(message)

    async def release(self) -> None:
        """Send what has been held back."""
        while self._held:
            await self._send(self._held.pop(0))

    async def _advise(self, advice: str) -> None:
        body = problem(HTTPStatus.NOT_FOUND, advice, self._scope["state"]["request_id"])
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        await self._send({"type": "http.response.start", "status": int(HTTPStatus.NOT_FOUND), "headers": headers})
        await self._send({"type": "http.response.body", "body": body})
