"""The tasks that handlers created and left, still under way when the service stops.

Nobody waits for them, so the stop does not either: they are cancelled. What they were is told, as their work is lost.
Whose task it is its context says, which holds the request in which the task was created.
"""

import asyncio
from collections.abc import Iterable
from contextvars import Context
from typing import Any, NamedTuple

from lmservice.lifecycle import Lifecycle
from lmservice.telemetry import context
from lmservice.web.ids import RequestContext
from lmservice.web.routes import RouteTemplates


class LeftTask(NamedTuple):
    """One of them.

    Attributes:
        coroutine: the function that it runs, by its qualified name.
        route: the template of the route whose handler created it.
        request_id: the request's.
    """

    coroutine: str
    route: str
    request_id: str


def left_tasks(tasks: Iterable[asyncio.Task[Any]], lifecycle: Lifecycle, templates: RouteTemplates) -> list[LeftTask]:
    """Return those of `tasks` that the handlers of one service created, and that have not ended."""
    left = []
    for task in tasks:
        request = None if task.done() else _request_of(task)
        if request is not None and request.scope["state"].get("lifecycle") is lifecycle:
            name = getattr(task.get_coro(), "__qualname__", task.get_name())
            left.append(LeftTask(name, templates.of(request.scope), request.request_id))
    return sorted(left)


def _request_of(task: asyncio.Task[Any]) -> RequestContext | None:
    """Return the request in which a task was created, or None."""
    variables = _context_of(task)
    under_way: Any = variables.get(context.request) if variables is not None else None
    while under_way is not None and not isinstance(under_way, RequestContext):
        under_way = getattr(under_way, "above", None)  # a span's, inside the request
    return under_way


def _context_of(task: asyncio.Task[Any]) -> Context | None:
    """Return a task's context; before Python 3.12, which tells it, that in which it will be woken up."""
    if hasattr(task, "get_context"):
        return task.get_context()  # type: ignore[no-any-return] # of 3.12
    waits_for = getattr(task, "_fut_waiter", None)
    callbacks = getattr(waits_for, "_callbacks", None) or ()
    return next((variables for wake_up, variables in callbacks if getattr(wake_up, "__self__", None) is task), None)
