"""Apps that are mounted in the service's own and have a lifespan, which nobody runs.

starlette hands the lifespan protocol to the outermost app alone (https://www.starlette.io/lifespan/); what a mounted
one opens in its own is never opened.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from lmservice.web.routes import DEEPEST, routes_of, template_of

_log = logging.getLogger("lmservice.lifespan")


def warn_of_mounted_lifespans(app: Any) -> None:
    """Log the paths of the mounted apps whose lifespan does not run."""
    mounts = list(_mounts_with_lifespan(routes_of(app), "", 0))
    if mounts:
        hint = (
            "only the outermost app's lifespan runs: do in a start-up job, or in that lifespan, what these apps need,"
            " as 'async with app.router.lifespan_context(app)'"
        )
        _log.warning("lmservice.lifespan_not_run", extra={"mounts": mounts, "hint": hint})


def _mounts_with_lifespan(routes: Iterable[Any], prefix: str, depth: int) -> Iterator[str]:
    for route in routes:
        app = getattr(route, "app", None)
        if app is None or not hasattr(route, "routes") or depth > DEEPEST:
            continue
        path = prefix + str(template_of(route) or getattr(route, "host", "")).removesuffix("/{path}")
        if any(_has_lifespan(inner) for inner in _layers(app)):
            yield path or "/"
        yield from _mounts_with_lifespan(routes_of(app), path, depth + 1)


def _layers(app: Any) -> Iterator[Any]:
    """Yield an app and what is inside, as middleware keeps it."""
    for _ in range(DEEPEST):
        if app is None:
            return
        yield app
        app = getattr(app, "app", None)


def _has_lifespan(app: Any) -> bool:
    """Return whether an app of starlette, FastAPI or Litestar has something to do at its start or end."""
    if getattr(app, "_lifespan_managers", None):  # Litestar's, which has no public name for them
        return True
    router = getattr(app, "router", app)
    hooks = [getattr(owner, name, None) for owner in (app, router) for name in ("on_startup", "on_shutdown")]
    if any(isinstance(hook, list) and hook for hook in hooks):
        return True
    context = getattr(router, "lifespan_context", None)
    return context is not None and _does_something(context)


def _does_something(context: Any) -> bool:
    """Return whether a lifespan is more than the default, which FastAPI joins with those of included routers."""
    if type(context).__name__ == "_DefaultLifespan":
        return False
    if "_merge_lifespan_context" in getattr(context, "__qualname__", ""):
        inner = [cell.cell_contents for cell in context.__closure__ or ()]
        return any(_does_something(part) for part in inner if callable(part))
    return True
