"""Middleware runs, in starlette's order and inside lmservice's own layer."""

from typing import Any

import pytest
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lmservice import Service
from lmservice.errors import ServiceDefinitionError

pytestmark = pytest.mark.anyio


class Marking:
    """Plain ASGI: adds its mark to each answer, the innermost first."""

    def __init__(self, app: ASGIApp, mark: str) -> None:
        self.app, self.mark = app, mark

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marking(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"x-mark", self.mark.encode())]}
            await send(message)

        await self.app(scope, receive, marking)


class Refusing(BaseHTTPMiddleware):
    """Lets nobody in."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return PlainTextResponse("stay out", 401) if "key" not in request.query_params else await call_next(request)


class Everybody(AuthenticationBackend):
    """Knows whoever asks."""

    async def authenticate(self, conn: Any) -> tuple[AuthCredentials, SimpleUser]:
        return AuthCredentials(), SimpleUser(conn.query_params["name"])


async def hello(request: Request) -> Response:
    return PlainTextResponse(f"hello {getattr(request.scope.get('user'), 'username', 'nobody')}")


async def fail(_: Request) -> Response:
    raise RuntimeError("the secret is hunter2")


async def teapot(_: Request) -> Response:
    raise HTTPException(418)


async def answer_500(_: Request, __: Exception) -> Response:
    return PlainTextResponse("so sorry", 500)


ROUTES = [
    Route("/hello/{name}", hello),
    Route("/fail", fail),
    Route("/teapot", teapot),
    Mount("/m", routes=[Route("/hello", hello)]),
]
MARKS = [Middleware(Marking, "outer"), Middleware(Marking, mark="inner")]


def added() -> Service:
    service = Service("middle", routes=ROUTES)
    service.app.add_middleware(Marking, mark="inner")  # type: ignore[attr-defined]
    service.app.add_middleware(Marking, mark="outer")  # type: ignore[attr-defined]
    return service


def around_an_app() -> Service:
    return Service("middle", app=PlainTextResponse("hello nobody"), middleware=MARKS)


@pytest.mark.parametrize(
    "service",
    [lambda: Service("middle", routes=ROUTES, middleware=MARKS), added, around_an_app],
    ids=["list", "added", "app"],
)
async def test_middleware_runs_the_first_of_it_outermost(serve: Any, logged: Any, service: Any) -> None:
    served = await serve(service())
    response = await served.client.get("/hello/x", headers={"X-Request-ID": "mine"})
    assert (response.status_code, response.text) == (200, "hello nobody")
    assert response.headers.get_list("x-mark") == ["inner", "outer"]
    assert response.headers["x-request-id"] == "mine"
    assert logged("http.request")[0]["request_id"] == "mine"


async def test_an_authentication_is_not_dropped(serve: Any, logged: Any) -> None:
    served = await serve(Service("middle", routes=ROUTES, middleware=[Middleware(Refusing)]))
    refused = await served.client.get("/hello/x")
    assert (refused.status_code, refused.text) == (401, "stay out")
    assert (await served.client.get("/hello/x?key=1")).status_code == 200
    assert [(line["status"], line["route"]) for line in logged("http.request")] == [
        (401, "none"),
        (200, "/hello/{name}"),
    ]


async def test_starlettes_own_middleware_does_its_work(serve: Any) -> None:
    middleware = [
        Middleware(CORSMiddleware, allow_origins=["https://shop.example"]),
        Middleware(GZipMiddleware, minimum_size=1),
        Middleware(AuthenticationMiddleware, backend=Everybody()),
    ]
    served = await serve(Service("middle", routes=ROUTES, middleware=middleware))
    response = await served.client.get("/m/hello?name=ada", headers={"Origin": "https://shop.example"})
    assert response.text == "hello ada"
    assert response.headers["access-control-allow-origin"] == "https://shop.example"
    assert response.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(("path", "status"), [("/fail", 500), ("/teapot", 418), ("/nonesuch", 404)])
async def test_errors_are_problems_within_middleware_too(serve: Any, logged: Any, path: str, status: int) -> None:
    served = await serve(Service("middle", routes=ROUTES, middleware=MARKS))
    response = await served.client.get(path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert len([line for line in logged() if line["level"] == "error"]) == (status == 500)


async def test_what_middleware_raises_is_a_500_or_what_the_handler_of_500_answers(serve: Any, logged: Any) -> None:
    class Broken(BaseHTTPMiddleware):
        async def dispatch(self, _request: Request, _call_next: RequestResponseEndpoint) -> Response:
            raise RuntimeError("the secret is hunter2")

    for handlers, text in (({}, "the service failed to answer"), ({500: answer_500}, "so sorry")):
        service = Service("middle", routes=ROUTES, middleware=[Middleware(Broken)], exception_handlers=handlers)
        served = await serve(service, environment="qa", drain_delay=0, drain_quiet=0)
        response = await served.client.get("/hello/x")
        assert response.status_code == 500
        assert text in response.text
        assert "hunter2" not in response.text
    assert [line["status"] for line in logged("http.request")] == [500, 500]
    assert len([line for line in logged() if line["level"] == "error"]) == 2


async def test_what_is_no_middleware_is_refused() -> None:
    with pytest.raises(ServiceDefinitionError, match=r"middleware= of service 'middle' has .*Marking"):
        Service("middle", routes=ROUTES, middleware=[Marking])  # type: ignore[list-item]
