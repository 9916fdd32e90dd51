"""The app of a service: the author's own, or one made of routes, within middleware."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, ExceptionHandler

from lmservice.errors import ServiceDefinitionError
from lmservice.web.starlette import RoutesApp, wrapped


def composed(
    service: str,
    routes: Sequence[BaseRoute] | None,
    app: Callable[..., Awaitable[None]] | None,
    handlers: Mapping[Any, ExceptionHandler],
    entries: Sequence[object],
) -> ASGIApp:
    """Return the app of a service, of `routes` where there is no `app`.

    Args:
        service: its name.
        routes: starlette's.
        app: any ASGI 3 application.
        handlers: what answers exceptions, with `routes`.
        entries: starlette's middleware, the outermost first.

    Raises:
        ServiceDefinitionError: an entry is no middleware.
    """
    middleware = [entry for entry in entries if isinstance(entry, Middleware)]
    if len(middleware) < len(entries):
        wrong = next(entry for entry in entries if entry not in middleware)
        advice = "it must be a list of starlette's Middleware(...)"
        raise ServiceDefinitionError(f"middleware= of service {service!r} has {wrong!r}: {advice}")
    return RoutesApp(routes or (), handlers, middleware) if app is None else wrapped(app, middleware)
