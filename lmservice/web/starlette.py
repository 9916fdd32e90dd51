"""The app that a service's `routes=` make: starlette, without its wrappers around every request.

The request layer does most of their work for all apps. What handles exceptions is starlette's own, and gets to work
once something has been raised.
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, ExceptionHandler, Receive, Scope, Send

from lmservice.telemetry import context
from lmservice.web.endpoint import Endpoint, answer_error, raising
from lmservice.web.exchange import Exchange
from lmservice.web.problem import EMPTY, MEDIA_TYPE, problem
from lmservice.web.route_index import IndexedRouter, is_plain

_CALL: Final = Response.__call__


class RoutesApp(Starlette):
    """Starlette with a lighter stack, whose 404 and its kind are problems like every other error."""

    def __init__(
        self, routes: Sequence[BaseRoute], handlers: Mapping[Any, ExceptionHandler], middleware: Sequence[Middleware]
    ) -> None:
        super().__init__(
            routes=routes, middleware=middleware, exception_handlers={HTTPException: _http_problem, **handlers}
        )

    def enter(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Do what a call does, without a coroutine of its own."""
        scope["app"] = self
        stack = self.middleware_stack
        if stack is None:
            stack = self.middleware_stack = self.build_middleware_stack()
        return stack(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        """Compose what a request goes through, with middleware in the place where starlette has it."""
        handlers = dict(self.exception_handlers)
        of_exceptions, of_500 = handlers.pop(Exception, None), handlers.pop(500, None)
        direct = not self.user_middleware
        app: ASGIApp = IndexedRouter(self.router, direct=direct) if is_plain(self.router) else self.router
        outermost = of_500 or of_exceptions
        if not self.user_middleware:
            return _ExceptionHandling(app, handlers, outermost)
        app = wrapped(_ExceptionHandling(app, handlers, None), self.user_middleware)
        return ServerErrorMiddleware(app, handler=outermost) if outermost is not None else app


def wrapped(app: ASGIApp, middleware: Sequence[Middleware]) -> ASGIApp:
    """Return an app within middleware, the first of which is the outermost."""
    for cls, args, kwargs in reversed(middleware):
        app = cls(app, *args, **kwargs)
    return app


class _ExceptionHandling(ExceptionMiddleware):
    """Looks for the handler of what is raised; the outermost, of whatever no other handles, does not hide it."""

    def __init__(
        self, app: ASGIApp, handlers: Mapping[Any, ExceptionHandler], outermost: ExceptionHandler | None
    ) -> None:
        super().__init__(app, handlers)
        self._handlers = handlers
        self._outermost = outermost
        self._both = self._exception_handlers, self._status_handlers
        self._router = app if isinstance(app, IndexedRouter) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        scope["starlette.exception_handlers"] = self._both  # for the endpoints
        router = self._router
        try:
            if router is None:
                await self.app(scope, receive, send)
                return
            chosen = router.choose(scope)
            if not isinstance(chosen, Endpoint):
                await router.handle(chosen, scope, receive, send)
                return
            # what `Endpoint.answer` does, without another coroutine around every request
            request = Request(scope, receive, send)
            try:
                response = await chosen.call(request)
                if not _sent_whole(response, send):
                    await response(scope, receive, send)
                elif response.background is not None:
                    await response.background()
            except Exception as error:  # noqa: BLE001 - whatever it raises
                await answer_error(error, request, scope, receive, send)
        except Exception as error:
            if getattr(context.request.get(), "status", 0):  # it is too late for another answer
                raise
            await self._answer(error, scope, receive, send)

    async def _answer(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp = ExceptionMiddleware(raising(error), self._handlers)
        if self._outermost is not None:
            app = ServerErrorMiddleware(app, handler=self._outermost)
        await app(scope, receive, send)


def _sent_whole(response: Response, send: Send) -> bool:
    """Send a response of starlette's plain kind all at once, where nobody wants to see its messages.

    Returns:
        Whether it has been sent, but for its background task; if not, it is to send itself.
    """
    exchange = getattr(send, "__self__", None)
    if type(exchange) is not Exchange or type(response).__call__ is not _CALL:
        return False
    return exchange.answer_whole(response.status_code, response.raw_headers, bytes(response.body))


async def _http_problem(_request: Request, error: Exception) -> Response:
    """Answer an `HTTPException` in the same form as every other error."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code in {204, 304}:
        return Response(status_code=error.status_code, headers=error.headers)
    members = getattr(error, "members", EMPTY)
    body = problem(error.status_code, error.detail, context.ids().get("request_id", ""), members)
    return Response(body, error.status_code, error.headers, MEDIA_TYPE)
