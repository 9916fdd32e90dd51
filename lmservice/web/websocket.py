"""A WebSocket's ids, span and line in the log; it is no request for the limits and the histogram."""

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lmservice.web.access_log import AccessLog, Parts
from lmservice.web.exchange import CLIENT_LEFT, means_gone
from lmservice.web.failure import FAILED, tell
from lmservice.web.forwarded import Forwarding
from lmservice.web.ids import RequestContext, RequestTracer
from lmservice.web.problem import MEDIA_TYPE, problem
from lmservice.web.routes import RouteTemplates


class WebSocketLayer:
    """Wraps `app` for WebSockets, as `RequestLayer` does for requests."""

    def __init__(
        self,
        app: ASGIApp,
        forwarding: Forwarding,
        templates: RouteTemplates,
        access_log: AccessLog | None,
        tracer: RequestTracer | None,
    ) -> None:
        self.app = app
        self._forwarding = forwarding
        self._templates = templates
        self._access_log = access_log
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket to its end."""
        headers, path = dict(scope["headers"]), scope["path"]
        handshake = Handshake(scope, headers, send)
        self._forwarding.apply(scope, headers)
        if self._tracer is not None:
            self._tracer.begin(handshake)
        started = time.monotonic()
        try:
            await self.app(scope, handshake.noting(receive), handshake.answer)
            handshake.must_have_answered()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever the app let through
            if means_gone(error):
                return  # the client has left, which is no failure
            tell(scope, path, error)
            if handshake.span is not None:
                handshake.span.fail(error)
            await handshake.fail()
        finally:
            route = self._templates.of(scope)
            status = handshake.end()
            if handshake.span is not None:
                handshake.span.end("GET", route, status)
            if self._access_log is not None:
                parts = Parts("GET", route, status)
                self._access_log.write(handshake, parts, path, scope.get("client"), time.monotonic() - started)


class Handshake(RequestContext):
    """How a WebSocket's request was answered: 101, or what refused it."""

    def __init__(self, scope: Scope, headers: Mapping[bytes, bytes], send: Send) -> None:
        super().__init__(scope, headers)
        self.status = 101
        self._can_answer = "websocket.http.response" in scope.get("extensions", {})
        self._answered = self._gone = False
        self._send = send

    async def answer(self, message: Message) -> None:
        """Pass the app's answer on, with the request's id on whatever has headers."""
        kind = message["type"]
        if kind == "websocket.close" and not self._answered and self._can_answer:
            await self._refuse(HTTPStatus.FORBIDDEN, "the service does not accept this WebSocket")
            return
        self._answered = True
        if kind in ("websocket.accept", "websocket.http.response.start"):
            self.status = message.get("status", self.status)
            own_id = (b"x-request-id", self.request_id.encode())
            others = [pair for pair in message.get("headers", ()) if pair[0].lower() != b"x-request-id"]
            message = {**message, "headers": [*others, own_id]}
        await self._send(message)

    def noting(self, receive: Receive) -> Receive:
        """Return `receive`, by which the app may learn that there is nobody left to answer."""

        async def receive_and_note() -> Message:
            message = await receive()
            self._gone = self._gone or message["type"] == "websocket.disconnect"
            return message

        return receive_and_note

    def must_have_answered(self) -> None:
        """Raise where the app has ended, and has neither accepted nor refused."""
        if not self._answered and not self._gone:
            raise RuntimeError("the app returned without an answer")

    def end(self) -> int:
        """Return how it was answered in the end: not at all, where the client had left before."""
        return CLIENT_LEFT if self._gone and not self._answered else self.status

    async def fail(self) -> None:
        """Answer for an app that failed: 500 before it had accepted, 1011 after."""
        if self._answered or not self._can_answer:
            await self._send({"type": "websocket.close", "code": 1011})
        else:
            await self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, FAILED)

    async def _refuse(self, status: HTTPStatus, detail: str) -> None:
        body = problem(status, detail, self.request_id)
        headers = [(b"content-type", MEDIA_TYPE.encode())]
        await self.answer({"type": "websocket.http.response.start", "status": int(status), "headers": headers})
        await self._send({"type": "websocket.http.response.body", "body": body})
