"""A mounted app's lifespan never runs, which a warning at the start names."""

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import litestar
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.routing import Host, Mount, Router

from lmservice import Service
from lmservice.web.mounted import warn_of_mounted_lifespans


@contextlib.asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[None]:
    yield


class Around:
    """Middleware."""

    def __init__(self, app: Any) -> None:
        self.app = app


def mounts(app: Any, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the warning names."""
    with caplog.at_level(logging.WARNING):
        warn_of_mounted_lifespans(app)
    return [path for record in caplog.records for path in vars(record)["mounts"]]


def fastapi_with(**given: Any) -> FastAPI:
    app = FastAPI(**given)
    app.include_router(APIRouter())
    return app


@pytest.mark.parametrize(
    "inner",
    [
        Starlette(lifespan=lifespan),
        Router(lifespan=lifespan),
        FastAPI(lifespan=lifespan),
        fastapi_with(lifespan=lifespan),
        FastAPI(on_startup=[lambda: None]),
        litestar.Litestar([], lifespan=[lifespan], logging_config=None),
        litestar.Litestar([], on_startup=[lambda: None], logging_config=None),
        Around(Starlette(lifespan=lifespan)),
    ],
)
def test_a_mounted_apps_lifespan_is_named(inner: Any, caplog: pytest.LogCaptureFixture) -> None:
    app = Starlette(routes=[Mount("/outer", routes=[Mount("/{kind}", app=inner)]), Host("a.test", app=inner)])
    assert mounts(Around(app), caplog) == ["/outer/{kind}", "a.test"]


@pytest.mark.parametrize(
    "inner",
    [Starlette(), Router(), FastAPI(), fastapi_with(), litestar.Litestar([], logging_config=None), Around(None)],
)
def test_a_mounted_app_without_one_is_not(inner: Any, caplog: pytest.LogCaptureFixture) -> None:
    app = Starlette(lifespan=lifespan, routes=[Mount("/inner", app=inner)])
    assert mounts(app, caplog) == []


@pytest.mark.anyio
async def test_the_start_warns(serve: Any, logged: Any) -> None:
    app = FastAPI()
    app.mount("/inner", FastAPI(lifespan=lifespan))
    await serve(Service("mounted", app=app))
    (line,) = logged("lmservice.lifespan_not_run")
    assert (line["mounts"], line["level"]) == (["/inner"], "warning")
