"""A service as an ASGI app: what a test client and another server get of it."""

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from lmservice import Service, Settings
from lmservice.errors import UsageError

with warnings.catch_warnings():  # newer versions of starlette prefer another client to httpx
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


class ShopSettings(Settings):
    """A setting of the service's own."""

    greeting: str = "hello"


async def home(request: Request) -> JSONResponse:
    state = request.state
    return JSONResponse({"database": state.database, "greeting": state.settings.greeting, "id": state.request_id})


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_json(socket.state.database)


def shop(steps: list[str], app: Any = None) -> Service:
    routes = [Route("/", home), WebSocketRoute("/talk", talk)]
    made: dict[str, Any] = {"app": app} if app else {"routes": routes}
    service = Service("shop", settings=ShopSettings, **made)

    @service.startup_job
    async def database(_state: Any) -> AsyncIterator[dict[str, int]]:
        steps.append("open")
        yield {"rows": 1}
        steps.append("close")

    return service


def test_a_test_client_runs_the_start_up_jobs_and_their_clean_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LM_GREETING", "hi")
    steps: list[str] = []
    service = shop(steps)
    for _ in range(2):
        with TestClient(service) as client:
            response = client.get("/", headers={"x-request-id": "one"})
            assert response.json() == {"database": {"rows": 1}, "greeting": "hi", "id": "one"}
            assert response.headers["x-request-id"] == "one"
            assert client.get("/nowhere").json()["status"] == 404
            with client.websocket_connect("/talk") as socket:
                assert socket.receive_json() == {"rows": 1}
            assert steps[-1] == "open"
    assert steps == ["open", "close"] * 2


def test_the_apps_own_lifespan_runs_after_the_jobs_and_ends_before_them() -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, str]]:
        steps.append("app opens")
        yield {"own": "state"}
        steps.append("app closes")

    app = FastAPI(lifespan=lifespan)

    @app.get("/own")
    async def own(request: Request) -> list[Any]:
        return [request.state.own, request.state.database]

    with TestClient(shop(steps, app)) as client:
        assert client.get("/own").json() == ["state", {"rows": 1}]
    assert steps == ["open", "app opens", "app closes", "close"]


def test_without_its_lifespan_it_says_what_to_write() -> None:
    with pytest.raises(RuntimeError, match="with TestClient"):
        TestClient(shop([])).get("/")


def test_a_start_that_fails_is_raised_after_the_clean_up(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    service = shop(steps)

    @service.startup_job(after=["database"])
    async def cache(_state: Any) -> None:
        raise ConnectionError("no cache")

    with pytest.raises(Exception, match="start-up job 'cache' failed: ConnectionError: no cache"), TestClient(service):
        pass
    assert steps == ["open", "close"]
    monkeypatch.setenv("LM_PORT", "many")
    with pytest.raises(UsageError, match="LM_PORT"), TestClient(service):
        pass


def test_it_is_never_begun_twice_at_once() -> None:
    service = shop([])
    with (
        TestClient(service),
        pytest.raises(RuntimeError, match="runs already"),
        TestClient(service),
    ):
        pass


@pytest.mark.anyio
async def test_another_server_can_serve_it() -> None:
    steps: list[str] = []
    server = uvicorn.Server(uvicorn.Config(shop(steps), port=0, host="127.0.0.1", log_config=None))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it has nothing to wait for
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"http://127.0.0.1:{port}/")).json()["database"] == {"rows": 1}
    server.should_exit = True
    await serving
    assert steps == ["open", "close"]
