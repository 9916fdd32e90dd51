"""What is told of an exception of the app: to the log, to a developer at this machine, and to nobody else."""

import asyncio
from typing import Any

import httpx
import litestar
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from lmservice import Service

pytestmark = pytest.mark.anyio
HERE = "tests/web/test_failure.py"
PAGE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class BrokenError(Exception):
    """What the handlers below raise."""


async def broken(_: Request) -> Response:
    raise BrokenError("<b>no</b> way to redis://:geheim@cache")


async def broken_at_first() -> Response:
    raise BrokenError("the first")


async def broken_by_another(_: Request) -> Response:
    try:
        return await broken_at_first()
    except BrokenError as error:
        raise RuntimeError("the second") from error


async def broken_in_a_group(_: Request) -> Response:
    async with asyncio.TaskGroup() as group:
        group.create_task(broken(_))
    return Response()


async def own_500(_: Request) -> Response:
    return PlainTextResponse("Internal Server Error", 500)


async def break_socket(socket: WebSocket) -> None:
    await socket.accept()
    raise BrokenError


PATHS = {"/broken": broken, "/another": broken_by_another, "/group": broken_in_a_group, "/own": own_500}
AT = f"{HERE}:{broken.__code__.co_firstlineno + 1}"


def service() -> Service:
    sockets = [WebSocketRoute("/socket", break_socket)]
    return Service("failing", routes=[*(Route(path, handler) for path, handler in PATHS.items()), *sockets])


@pytest.mark.parametrize("environment", ["dev", "production"])
async def test_the_event_has_the_error_and_the_line_of_own_code_in_every_environment(
    serve: Any, logged: Any, environment: str
) -> None:
    served = await serve(service(), environment=environment)
    for path in ("/broken", "/group"):
        await served.client.get(path)
        event = logged("http.error")[-1]
        assert event["error"] == "BrokenError: <b>no</b> way to redis://:********@cache"
        assert (event["at"], event["path"], event["method"]) == (AT, path, "GET")


async def test_a_broken_websockets_event_has_them_too(serve: Any, logged: Any) -> None:
    served = await serve(service())
    import websockets  # noqa: PLC0415 - for this test alone

    async with websockets.connect(f"ws://127.0.0.1:{served.port}/socket") as socket:
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
    event = logged("http.error")[-1]
    assert (event["error"], event["at"].partition(":")[0]) == ("BrokenError", HERE)


async def test_in_dev_the_problem_says_what_was_raised_and_where(serve: Any) -> None:
    served = await serve(service())
    response = await served.client.get("/broken")
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["exception"] == "BrokenError: <b>no</b> way to redis://:********@cache"
    assert (problem["at"], problem["status"]) == (AT, 500)
    assert problem["request_id"] == response.headers["x-request-id"]


async def test_a_browser_in_dev_gets_a_page_with_the_code_that_raised(serve: Any) -> None:
    served = await serve(service())
    response = await served.client.get("/broken", headers=PAGE)
    page = response.text
    assert (response.status_code, response.headers["content-type"]) == (500, "text/html; charset=utf-8")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "<h1>BrokenError</h1>" in page
    assert "&lt;b&gt;no&lt;/b&gt; way to redis://:********@cache" in page
    assert "<b>no</b>" not in page
    assert "geheim" not in page
    assert f"{AT}</code>" in page
    assert "raise BrokenError(" in page
    assert "of starlette" in page or "starlette</summary>" in page
    assert response.headers["x-request-id"] in page


async def test_the_page_has_what_caused_the_exception_and_what_is_in_a_group(serve: Any) -> None:
    served = await serve(service())
    page = (await served.client.get("/another", headers=PAGE)).text
    assert "<h1>RuntimeError</h1>" in page
    assert "caused by: BrokenError: the first" in page
    assert "<h1>BrokenError</h1>" in (await served.client.get("/group", headers=PAGE)).text


@pytest.mark.parametrize(
    ("environment", "headers"),
    [
        ("qa", {}),
        ("production", {}),
        ("dev", {"x-forwarded-for": "127.0.0.1"}),
        ("dev", {"forwarded": "for=127.0.0.1"}),
        ("dev", {"x-real-ip": "127.0.0.1"}),
        ("dev", {"via": "1.1 proxy"}),
        ("dev", {"host": "rebound.example"}),
        ("dev", {"host": "127.0.0.1.example"}),
    ],
)
async def test_nobody_else_is_told_anything(serve: Any, environment: str, headers: dict[str, str]) -> None:
    served = await serve(service(), environment=environment)
    for accept in ({}, PAGE):
        response = await served.client.get("/broken", headers={**headers, **accept})
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json().keys() == {"type", "title", "status", "detail", "request_id"}


async def test_another_machine_is_told_nothing(serve: Any) -> None:
    import socket  # noqa: PLC0415 - for this test alone

    own = socket.gethostbyname(socket.gethostname())
    if own.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    served = await serve(service(), host="0.0.0.0")
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(local_address=own)) as client:
        response = await client.get(f"http://{own}:{served.port}/broken")
    assert "exception" not in response.json()


def fastapi_app() -> Any:
    app = FastAPI()
    app.add_route("/broken", broken)
    app.add_route("/own", own_500)
    return app


def starlette_app() -> Any:
    return Starlette(routes=[Route("/broken", broken), Route("/own", own_500)])


@pytest.mark.parametrize("app", [fastapi_app, starlette_app])
async def test_an_app_that_hides_its_exception_behind_a_plain_text_is_explained_in_dev_alone(
    serve: Any, logged: Any, app: Any
) -> None:
    served = await serve(Service("app", app=app()))
    response = await served.client.get("/broken")
    assert (response.status_code, response.json()["at"]) == (500, AT)
    assert len(logged("http.error")) == 1
    assert logged("http.request")[-1]["status"] == 500
    assert (await served.client.get("/own")).text == "Internal Server Error"
    served = await serve(Service("app", app=app()), environment="qa")
    assert (await served.client.get("/broken")).text == "Internal Server Error"


async def test_an_app_that_answers_by_itself_is_left_to_it(serve: Any) -> None:
    app = FastAPI(debug=True)
    app.add_route("/broken", broken)
    served = await serve(Service("app", app=app))
    assert "Traceback" in (await served.client.get("/broken")).text


@litestar.get("/here")
async def here() -> str:
    return "here"


async def list_metrics(_: Request) -> Response:
    return PlainTextResponse("no metrics of that kind", 404)


@pytest.mark.parametrize(
    "app", [FastAPI(), Starlette(), litestar.Litestar([here])], ids=["fastapi", "starlette", "litestar"]
)
async def test_a_management_path_on_the_services_port_leads_to_the_other_in_dev_alone(serve: Any, app: Any) -> None:
    for service in (Service("app", app=app), Service("routes", routes=[])):
        served = await serve(service, management_port=0)
        for path in ("/metrics", "/livez", "/readyz", "/stop"):
            response = await served.client.get(path)
            assert response.status_code == 404
            assert response.json()["detail"].startswith(f"{path} is on the management listener: ")
        assert "management" not in (await served.client.get("/metric")).text
        served = await serve(service, environment="qa")
        assert "management" not in (await served.client.get("/metrics")).text


async def test_a_route_of_the_apps_own_keeps_its_404(serve: Any) -> None:
    served = await serve(Service("own", routes=[Route("/metrics", list_metrics)]))
    assert (await served.client.get("/metrics")).text == "no metrics of that kind"
