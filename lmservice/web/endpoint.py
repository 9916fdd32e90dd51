"""A coroutine function behind one of starlette's own routes, called without the layers that starlette has around it.

starlette wraps each endpoint twice, to find the handler of what it raises; here that is done once something has been
raised, by starlette's own code and with the same request. lmservice's layer knows whether the answer has begun.
"""

from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Final

from starlette._exception_handler import wrap_app_handling_exceptions
from starlette.convertors import PathConvertor, StringConvertor
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lmservice.telemetry import context

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.responses import Response

_WRAPPER: Final = "starlette.routing", "request_response.<locals>.app"


class Endpoint:
    """What a route leads to, as long as its app is the one that starlette made of its function."""

    __slots__ = ("_app", "_convertors", "_match", "_methods", "_route", "call")

    def __init__(self, route: Route) -> None:
        self._route, self._app = route, route.app
        self.call: Callable[[Request], Awaitable[Response]] = route.endpoint
        self._match = route.path_regex.match
        self._methods = route.methods
        plain = all(
            type(convertor) in (StringConvertor, PathConvertor) for convertor in route.param_convertors.values()
        )
        self._convertors = {} if plain else route.param_convertors

    def is_of(self, route: BaseRoute) -> bool:
        """Return whether this is what a route leads to by now."""
        return route is self._route and self._route.app is self._app

    def matches(self, path: str, scope: Scope) -> bool:
        """Return whether a request is the route's, as `Route.matches` would; if so, put that into its scope."""
        match = self._match(path)
        if match is None or (self._methods and scope["method"] not in self._methods):
            return False
        parameters = match.groupdict()
        for name, convertor in self._convertors.items():
            parameters[name] = convertor.convert(parameters[name])
        outer = scope.get("path_params")
        scope["path_params"] = {**outer, **parameters} if outer else parameters
        scope["endpoint"] = self.call
        scope["route"] = self._route
        return True

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that matches."""
        request = Request(scope, receive, send)
        try:
            response = await self.call(request)
            await response(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - whatever it raises
            await answer_error(error, request, scope, receive, send)


def endpoint_of(route: BaseRoute) -> Endpoint | None:
    """Return the endpoint of a route that starlette would call in this way; None where it is of another kind."""
    if type(route) is not Route or not iscoroutinefunction(route.endpoint):
        return None
    app = route.app
    if (getattr(app, "__module__", ""), getattr(app, "__qualname__", "")) != _WRAPPER:
        return None  # it has middleware, or is a class
    cells = [cell.cell_contents for cell in getattr(app, "__closure__", None) or ()]
    return Endpoint(route) if cells == [route.endpoint] else None  # else somebody has put something around it


async def answer_error(error: Exception, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what an endpoint has raised by the handler that starlette finds for it.

    Raises:
        Exception: it has none, or it is too late for another answer.
    """
    if getattr(context.request.get(), "status", 0):
        raise error
    await wrap_app_handling_exceptions(raising(error), request)(scope, receive, send)


def raising(error: Exception) -> ASGIApp:
    """Return an app that raises `error`, for starlette to find its handler."""

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise error

    return app
