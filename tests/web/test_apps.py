"""Services around apps of every kind, from the contract's own program to a raw callable, on real sockets."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import litestar
import pytest
import websockets
from fastapi import FastAPI, Request, WebSocket
from litestar.params import FromPath
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from strict_client import Connection

from lmservice import Service
from lmservice.errors import StartError
from lmservice.testing import running

pytestmark = pytest.mark.anyio
HELLO = """\
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lmservice import Service, Settings


class HelloSettings(Settings):
    greeting: str = "hello"                       # env: LM_GREETING


async def hello(request: Request) -> JSONResponse:
    words: dict[str, str] = request.state.dictionary
    return JSONResponse({words["hello"]: request.path_params["name"]})


service = Service("hello", routes=[Route("/hello/{name}", hello)], settings=HelloSettings)


@service.startup_job(timeout=10, attempts=3)
async def dictionary(state) -> dict[str, str]:    # what it returns is request.state.dictionary
    return {"hello": state.settings.greeting}


@service.startup_job(after=["dictionary"])
async def connection(state):                      # an async generator owns its own clean-up
    yield object()                                # after the yield: runs on stop, reverse order
"""
JOB = """
from lmservice import Service
import asyncio, sys, time

service = Service("job", routes=[])

@service.startup_job
async def held():
    yield
    print("cleaned up", flush=True)

"""


def test_the_contracts_hello_program_runs_as_it_stands(start_process: Any) -> None:
    process = start_process(HELLO, settings={"LM_GREETING": "good day"})
    process.wait_ready()
    with Connection(process.port) as connection:
        response = connection.request("/hello/world")
        assert (response.status, response.body) == (200, b'{"good day":"world"}')
    ready = process.event("lmservice.ready")
    assert ready["critical_path"] == ["dictionary", "connection"]
    jobs = process.manage("/startupz")[1]["startup_jobs"]
    assert {name: (job["status"], job["attempts"]) for name, job in jobs.items()} == {
        "dictionary": ("done", 1),
        "connection": ("done", 1),
    }
    report = process.stop()
    assert {"status", "seconds", "phases", "requests"} <= set(report)
    assert set(report["phases"]) == {"drain_delay", "drain", "cleanup"}
    assert process.wait() == 0


@pytest.mark.parametrize(
    "job",
    [
        "async def job(): sys.exit('no configuration')",
        "def job(): sys.exit('no configuration')",
        "async def job(): raise asyncio.CancelledError",
        "async def job(): raise RuntimeError('broken')",
    ],
)
def test_a_job_that_ends_in_any_way_but_its_result_ends_the_process_in_order(start_process: Any, job: str) -> None:
    process = start_process(f"{JOB}@service.startup_job(after=['held'])\n{job}\n")
    assert process.wait(10) == 3
    assert "cleaned up" in process.output
    assert [event for event in process.logs if event["level"] == "error" and "'job'" in str(event)]
    assert not [line for line in process.output if line.startswith(("Traceback", "  File"))]


@pytest.mark.parametrize(
    "clean_up", ["raise OSError('disk')", "raise asyncio.CancelledError", "sys.exit(5)", "await asyncio.sleep(60)"]
)
def test_a_clean_up_that_fails_in_any_way_keeps_no_other_from_running_and_ends_the_process_with_70(
    start_process: Any, clean_up: str
) -> None:
    job = f"@service.startup_job(after=['held'])\nasync def job():\n    yield\n    {clean_up}\n"
    settings = {"LM_CLEANUP_TIMEOUT": "0.5"}
    process = start_process(JOB + job, settings=settings)
    process.wait_ready()
    report = process.stop()
    assert report["status"] == "stopped"
    assert process.wait() == 70
    assert "cleaned up" in process.output or "sleep" in clean_up


def test_a_job_that_breaks_down_after_its_start_stops_the_service_in_order(start_process: Any) -> None:
    job = """
@service.startup_job(after=["held"])
async def job():
    async with asyncio.TaskGroup() as group:
        group.create_task(breaks())
        yield

async def breaks():
    await asyncio.sleep(0.5)
    raise OSError("connection lost")
"""
    process = start_process(JOB + job)
    process.wait_ready()
    assert process.wait() == 70
    assert "cleaned up" in process.output
    assert [event for event in process.logs if "connection lost" in str(event)]
    assert process.event("lmservice.stopped")


@pytest.mark.parametrize(
    "dying",
    [
        "raise RuntimeError('the broker has gone')",
        "sys.exit('the broker has gone')",
        "asyncio.current_task().cancel('the broker has gone')\n    await asyncio.sleep(0)",
    ],
)
def test_an_app_whose_lifespan_dies_after_its_start_stops_the_service_in_order(start_process: Any, dying: str) -> None:
    program = f"""
import asyncio, contextlib, sys
from starlette.responses import PlainTextResponse
from lmservice import Service

async def app(scope, receive, send):
    if scope["type"] == "http":
        await asyncio.sleep(1.5)
        await PlainTextResponse("served")(scope, receive, send)
        return
    await receive()
    await send({{"type": "lifespan.startup.complete"}})
    await asyncio.sleep(0.7)
    {dying}

service = Service("dies", app=app)

@service.startup_job
async def held():
    yield
    print("cleaned up", flush=True)
"""
    process = start_process(program)
    process.wait_ready()
    assert httpx.get(process.url, timeout=10).text == "served"
    assert process.wait() == 70
    assert "cleaned up" in process.output
    assert process.event("lmservice.draining")["failure"].startswith("the app's lifespan ended while it was needed: ")
    assert process.event("lmservice.stopped")["problems"][0].startswith("the app's lifespan ended while it was needed")
    (told,) = [event for event in process.logs if event["level"] == "error"]
    assert told["event"] == "lmservice.lifespan_died"


@pytest.mark.parametrize("failing", ["raise RuntimeError('no database')", "sys.exit(5)"])
def test_an_app_whose_lifespan_raises_ends_the_process_with_3(start_process: Any, failing: str) -> None:
    program = f"""
import contextlib, sys
from fastapi import FastAPI
from lmservice import Service

@contextlib.asynccontextmanager
async def lifespan(app):
    {failing}
    yield

service = Service("fast", app=FastAPI(lifespan=lifespan))

@service.startup_job
async def held():
    yield
    print("cleaned up", flush=True)
"""
    process = start_process(program)
    assert process.wait() == 3
    assert "cleaned up" in process.output
    assert [event for event in process.logs if event["level"] == "error" and "lifespan" in str(event)]
    assert not [event for event in process.logs if event["event"] == "lmservice.ready"]


async def test_fastapis_lifespan_runs_inside_the_jobs_and_its_state_is_the_requests(serve: Any) -> None:
    order: list[str] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        order.append("lifespan begins")
        yield {"by_lifespan": "state"}
        order.append("lifespan ends")

    app = FastAPI(lifespan=lifespan)

    async def read(request: Request) -> dict[str, Any]:
        return {
            "lifespan": request.state.by_lifespan,
            "job": request.state.job,
            "environment": request.state.settings.environment,
        }

    app.get("/state")(read)
    service = Service("fast", app=app)

    @service.startup_job
    async def job() -> AsyncIterator[str]:
        order.append("job begins")
        yield "done"
        order.append("job ends")

    served = await serve(service)
    assert (await served.client.get("/state")).json() == {"lifespan": "state", "job": "done", "environment": "dev"}
    assert (await served.client.get("/docs")).status_code == 200
    await served.close()
    await served.running.stop()
    assert order == ["job begins", "lifespan begins", "lifespan ends", "job ends"]


async def test_litestars_lifespan_runs_inside_the_jobs_and_its_requests_see_their_results(
    serve: Any, logged: Any
) -> None:
    order: list[str] = []

    @asynccontextmanager
    async def lifespan(_: litestar.Litestar) -> AsyncIterator[None]:
        order.append("lifespan begins")
        yield
        order.append("lifespan ends")

    @litestar.get("/state/{name:str}")
    async def read(name: FromPath[str], request: litestar.Request[Any, Any, Any]) -> dict[str, Any]:
        return {name: request.state.job, "environment": request.state.settings.environment}

    app = litestar.Litestar(
        [read],
        lifespan=[lifespan],
        on_startup=[lambda: order.append("on_startup")],
        on_shutdown=[lambda: order.append("on_shutdown")],
        logging_config=None,
    )
    service = Service("lite", app=app)

    @service.startup_job
    async def job() -> AsyncIterator[str]:
        order.append("job begins")
        yield "done"
        order.append("job ends")

    served = await serve(service)
    assert (await served.client.get("/state/x/")).json() == {"x": "done", "environment": "dev"}
    assert logged("http.request")[-1]["path"] == "/state/x/"
    missing = await served.client.get("/nonesuch", headers={"X-Request-ID": "mine"})
    assert (missing.status_code, missing.headers["x-request-id"]) == (404, "mine")
    refused = await served.client.delete("/state/x")
    assert (refused.status_code, "GET" in refused.headers["allow"]) == (405, True)
    await served.close()
    await served.running.stop()
    assert order[0] == "job begins"
    assert order[-1] == "job ends"
    assert set(order[1:3]) == {"lifespan begins", "on_startup"}
    assert set(order[3:5]) == {"lifespan ends", "on_shutdown"}


async def test_a_litestar_that_does_not_start_fails_the_start() -> None:
    def broken() -> None:
        raise OSError("no such table")

    app = litestar.Litestar([], on_startup=[broken], logging_config=None)
    with pytest.raises(StartError, match="no such table"):
        async with running(Service("lite", app=app)):
            pytest.fail("it was entered")


async def test_what_one_request_puts_into_its_state_no_other_sees(serve: Any) -> None:
    async def mark(request: Any) -> Response:
        seen = getattr(request.state, "mark", "none")
        request.state.mark = "mine"
        return PlainTextResponse(seen)

    served = await serve(Service("state", routes=[Route("/", mark)]))
    assert [(await served.client.get("/")).text for _ in range(3)] == ["none"] * 3


async def test_fastapis_own_answers_are_left_as_they_are(serve: Any, logged: Any) -> None:
    app = FastAPI()

    async def double(number: int) -> int:
        return number * 2

    async def fail() -> None:
        raise RuntimeError("the secret is hunter2")

    app.get("/double/{number}")(double)
    app.get("/fail")(fail)
    served = await serve(Service("fast", app=app), environment="qa", drain_delay=0, drain_quiet=0)
    wrong = await served.client.get("/double/x", headers={"X-Request-ID": "mine"})
    assert (wrong.status_code, wrong.headers["x-request-id"]) == (422, "mine")
    assert wrong.json()["detail"][0]["loc"] == ["path", "number"]
    failed = await served.client.get("/fail")
    assert failed.status_code == 500
    assert "hunter2" not in failed.text
    assert len([line for line in logged() if line["level"] == "error"]) == 1


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    """Returns without an answer."""


async def raising(scope: Scope, _receive: Receive, _send: Send) -> None:
    """Raises before it has taken anything, a lifespan's start included."""
    raise RuntimeError(f"{scope['type']} is not for me; the secret is hunter2")


async def cancelling(scope: Scope, _receive: Receive, _send: Send) -> None:
    """As an app that awaits a task that was cancelled."""
    if scope["type"] == "http":
        raise asyncio.CancelledError


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize("app", [silent, raising, cancelling])
async def test_whatever_reaches_us_unanswered_is_a_500(serve: Any, logged: Any, app: Any, http: str) -> None:
    served = await serve(Service("raw", app=app), http=http, environment="qa", drain_delay=0, drain_quiet=0)
    response = await served.client.get("/any", headers={"X-Request-ID": "mine"})
    assert response.status_code == 500
    assert response.headers["x-request-id"] == "mine"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["request_id"] == "mine"
    assert "hunter2" not in response.text
    (line,) = logged("http.request")
    assert line["status"] == 500
    assert len([line for line in logged() if line["level"] == "error"]) == 1


async def test_a_raw_app_without_a_lifespan_is_served(serve: Any) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await PlainTextResponse(f"{scope['state']['job']} {scope['path']}")(scope, receive, send)

    service = Service("raw", app=app)
    service.startup_job(name="job")(lambda: 7)
    served = await serve(service)
    assert (await served.client.get("/x")).text == "7 /x"


async def test_a_base_http_middleware_takes_nothing_away(serve: Any) -> None:
    class Passing(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: RequestResponseEndpoint) -> Response:
            return await call_next(request)

    async def hang(_: Any) -> Response:
        await asyncio.sleep(60)
        return PlainTextResponse("late")

    async def read(request: Any) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    routes = [Route("/hang", hang), Route("/read", read, methods=["POST"])]
    app = Starlette(routes=routes, middleware=[Middleware(Passing)])
    served = await serve(Service("middle", app=app), request_timeout=0.2, max_body_size=100)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 50

    assert (await served.client.get("/hang")).status_code == 504
    assert (await served.client.post("/read", content=b"x" * 100)).text == "100"
    assert (await served.client.post("/read", content=chunks())).status_code == 413


async def test_sync_endpoints_run_beside_each_other(serve: Any) -> None:
    def sleep(_: Any) -> Response:
        time.sleep(0.3)
        return PlainTextResponse("slept")

    served = await serve(Service("sync", routes=[Route("/", sleep)]))
    began = time.monotonic()
    answers = await asyncio.gather(*(served.client.get("/") for _ in range(5)))
    assert [each.text for each in answers] == ["slept"] * 5
    assert time.monotonic() - began < 1.2


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


async def refuse(websocket: WebSocket) -> None:
    await websocket.close(1008)


async def break_down(_: WebSocket) -> None:
    raise RuntimeError("the secret is hunter2")


async def break_down_later(websocket: WebSocket) -> None:
    await websocket.accept()
    raise RuntimeError("the secret is hunter2")


@pytest.fixture
async def sockets(serve: Any) -> str:
    routes = {"/echo/{name}": echo, "/refuse": refuse, "/break": break_down, "/later": break_down_later}
    service = Service("sockets", routes=[WebSocketRoute(path, endpoint) for path, endpoint in routes.items()])
    return str((await serve(service, request_timeout=0.2)).running.url).replace("http", "ws")


async def test_a_websocket_works_past_the_time_limit_and_has_its_line(sockets: str, logged: Any) -> None:
    headers = {"X-Request-ID": "mine"}
    async with websockets.connect(f"{sockets}/echo/x", additional_headers=headers, proxy=None) as websocket:
        await asyncio.sleep(1)
        await websocket.send("hello")
        assert await websocket.recv() == "hello"
        assert websocket.response
        assert websocket.response.headers.get_all("x-request-id") == ["mine"]
    await asyncio.sleep(0.1)
    (line,) = logged("http.request")
    assert (line["request_id"], line["status"], line["route"], line["path"]) == ("mine", 101, "/echo/{name}", "/echo/x")


@pytest.mark.parametrize(("path", "status"), [("/refuse", 403), ("/nonesuch", 403), ("/break", 500)])
async def test_a_websocket_that_is_refused_is_answered_and_logged_as_that(
    sockets: str, logged: Any, path: str, status: int
) -> None:
    with pytest.raises(websockets.InvalidStatus) as caught:
        await websockets.connect(sockets + path, additional_headers={"X-Request-ID": "mine"}, proxy=None)
    assert caught.value.response.status_code == status
    assert b"hunter2" not in (caught.value.response.body or b"")
    (line,) = logged("http.request")
    assert (line["request_id"], line["status"]) == ("mine", status)


@pytest.mark.parametrize("path", ["/refuse", "/nonesuch", "/break"])
async def test_a_websocket_that_is_refused_gets_its_id_back(sockets: str, path: str) -> None:
    with pytest.raises(websockets.InvalidStatus) as caught:
        await websockets.connect(sockets + path, additional_headers={"X-Request-ID": "mine"}, proxy=None)
    assert caught.value.response.headers.get_all("x-request-id") == ["mine"]


async def test_a_websocket_that_breaks_down_is_closed_and_logged_once(sockets: str, logged: Any) -> None:
    async with websockets.connect(f"{sockets}/later", proxy=None) as websocket:
        with pytest.raises(websockets.ConnectionClosedError):
            await websocket.recv()
    await asyncio.sleep(0.1)
    errors = [line for line in logged() if line["level"] == "error"]
    assert len(errors) == 1
    assert "RuntimeError: the secret is hunter2" in str(errors)
    assert errors[0]["request_id"]


async def test_no_management_path_exists_on_the_service_port(serve: Any) -> None:
    served = await serve(Service("apart", routes=[]))
    for path in ("/livez", "/startupz", "/readyz", "/metrics", "/info", "/config", "/loggers", "/tasks", "/stop", "/"):
        assert (await served.client.get(path)).status_code == 404


async def test_the_same_service_runs_twice_in_one_process() -> None:
    async def count(request: Any) -> Response:
        return PlainTextResponse(str(request.state.number))

    numbers = iter(range(10))
    service = Service("again", routes=[Route("/", count)])
    service.startup_job(name="number")(lambda: next(numbers))
    for expected in ("0", "1"):
        async with running(service) as each, httpx.AsyncClient(verify=False) as client:
            assert (await client.get(each.url)).text == expected
            metrics = (await client.get(f"{each.management_url}/metrics")).text
            assert 'lmservice_state{state="ready"} 1.0' in metrics
            assert metrics.count("# TYPE lmservice_state gauge") == 1
