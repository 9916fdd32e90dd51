"""The index answers exactly as starlette's own order does, whatever the routes."""

import asyncio
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Host, Mount, Route, Router, WebSocketRoute
from starlette.types import Receive, Scope, Send

from lmservice import Service
from lmservice.web.endpoint import endpoint_of
from lmservice.web.route_index import FEW, IndexedRouter, RouteIndex


class Endpoint:
    """An ASGI app that notes what it was called with."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        said = self.name, scope["path_params"], scope.get("root_path"), scope["route"], scope.get("endpoint")
        await send({"type": "test", "said": said})


class UnfitError(Exception):
    """What some endpoints raise."""


def function(name: str, *, fails: bool = False) -> Any:
    """The same as a coroutine function, which answers, or fails in a way for which there is a handler."""

    async def endpoint(request: Request) -> Any:
        if fails:
            await request.body()
            raise UnfitError(name)
        return Endpoint(name)

    return endpoint


async def answer_unfit(request: Request, error: Exception) -> Any:
    return Endpoint(f"{error} {(await request.body()).decode()}")


LITERALS = st.sampled_from(["a", "b", "ab", "", "a.b", "{x-y}"])
METHODS = st.sampled_from([["POST"], ["GET"], ["GET", "PUT"], None])
PARAMETERS = st.sampled_from(["{%s}", "{%s:int}", "{%s:path}", "{%s:float}", "{%s:uuid}", "a{%s}", "{%s:path}b"])


@st.composite
def paths_of_routes(draw: st.DrawFn) -> str:
    segments: list[str] = []
    for number in range(draw(st.integers(1, 4))):
        part = draw(st.one_of(LITERALS, PARAMETERS))
        segments.append(part % f"p{number}" if "%" in part else part)
    return "/" + "/".join(segments)


@st.composite
def routes_of_routers(draw: st.DrawFn, depth: int = 2) -> list[BaseRoute]:
    routes: list[BaseRoute] = []
    for number in range(draw(st.integers(0, 9))):
        kinds = ["route", "function", "failing", "method", "socket"] + (["mount", "app", "host"] if depth else [])
        kind, path = draw(st.sampled_from(kinds)), draw(paths_of_routes())
        endpoint = Endpoint(f"{depth}.{number}")
        if kind == "route":
            routes.append(Route(path, endpoint))
        elif kind in ("function", "failing"):
            routes.append(Route(path, function(endpoint.name, fails=kind == "failing"), methods=draw(METHODS)))
        elif kind == "method":
            routes.append(Route(path, endpoint, methods=draw(METHODS)))
        elif kind == "socket":
            routes.append(WebSocketRoute(path, endpoint))
        elif kind == "mount":
            routes.append(Mount(path.removesuffix("/a"), routes=draw(routes_of_routers(depth - 1))))
        elif kind == "app":
            routes.append(Mount(path, app=endpoint))
        else:
            routes.append(Host(draw(st.sampled_from(["a.test", "{name}.test"])), app=endpoint))
    return routes


SEGMENTS = st.sampled_from(["a", "b", "ab", "", "a.b", "1", "1.5", "{x-y}", "x\n", "12345678123456781234567812345678"])
PATHS = st.lists(SEGMENTS, max_size=7).map(lambda segments: "/" + "/".join(segments))


def answered(app: Any, path: str, method: str, kind: str, host: str, root: str) -> Any:
    """What became of a request, or the exception that it ended with."""
    scope: dict[str, Any] = {
        "type": kind,
        "path": root + path,
        "root_path": root,
        "headers": [(b"host", host.encode())],
        "query_string": b"",
        "scheme": "http",
        "app": None,
        "starlette.exception_handlers": ({UnfitError: answer_unfit}, {}),
    } | ({"method": method} if kind == "http" else {})
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    bodies = iter([{"type": "http.request", "body": b"body", "more_body": False}])

    async def receive() -> Any:
        return next(bodies)

    try:
        asyncio.run(app(scope, receive, send))
    except HTTPException as error:
        sent.append((error.status_code, error.headers))
    return sent, {key: value for key, value in scope.items() if key not in ("router", "endpoint")}


@given(
    routes=routes_of_routers(),
    path=PATHS,
    method=st.sampled_from(["GET", "HEAD", "POST", "DELETE"]),
    kind=st.sampled_from(["http", "http", "websocket"]),
    host=st.sampled_from(["a.test", "b.test", "c", ""]),
    root=st.sampled_from(["", "", "/a"]),
)
@example(
    [*(Route(f"/{n}", Endpoint(str(n))) for n in range(9)), Route("/{p}", Endpoint("p"))],
    "/8\n",
    "GET",
    "http",
    "a",
    "",
)
@example([Route("/{p:path}/b", Endpoint("p"))] * 9, "/a/a/a/a/a/a/b", "GET", "http", "a", "")
def test_every_request_goes_where_starlette_would_send_it(
    routes: list[BaseRoute], path: str, method: str, kind: str, host: str, root: str
) -> None:
    router = Router(routes)
    indexed = IndexedRouter(router, direct=True)
    asked = path, method, kind, host, root
    assert answered(indexed, *asked) == answered(router, *asked)
    assert answered(indexed, *asked) == answered(router, *asked)


@given(routes=routes_of_routers(), path=PATHS, root=st.sampled_from(["", "/a"]))
def test_the_index_leaves_out_no_route_that_matches(routes: list[BaseRoute], path: str, root: str) -> None:
    positions = RouteIndex(routes).positions(path)
    assert list(positions) == sorted(set(positions))
    if not path.endswith("\n"):
        scope = {"type": "http", "method": "GET", "path": root + path, "root_path": root, "headers": []}
        matching = {number for number, route in enumerate(routes) if route.matches(scope)[0].value}
        assert matching <= set(positions)


def many(*more: BaseRoute) -> list[BaseRoute]:
    return [*(Route(f"/r{number}/{{x}}", Endpoint(str(number))) for number in range(100)), *more]


@pytest.mark.parametrize(("path", "tried"), [("/r99/x", 1), ("/r99", 0), ("/r0/x/y", 0), ("/nonesuch", 0)])
def test_of_a_hundred_routes_only_those_that_may_match_are_tried(path: str, tried: int) -> None:
    assert len(RouteIndex(many()).positions(path)) == tried


def test_a_coroutine_functions_route_is_called_without_starlettes_layers_unless_something_is_around_it() -> None:
    plain, inner = Route("/", function("plain")), Route("/", function("inner"))
    assert endpoint_of(plain)
    assert not endpoint_of(Route("/", function("x"), middleware=[Middleware(Around)]))
    assert not endpoint_of(Route("/", function("x"), max_body_size=1))
    assert not endpoint_of(Route("/", Endpoint("class")))
    assert not endpoint_of(Odd("/", function("x")))
    inner.app = Around(inner.app)
    assert not endpoint_of(inner)


def test_an_app_that_is_put_around_a_routes_later_is_called() -> None:
    routes = many(Route("/last", function("last")))
    indexed = IndexedRouter(Router(routes), direct=True)
    assert answered(indexed, "/last", "GET", "http", "", "")[0][0]["said"][0] == "last"
    routes[-1].app = Endpoint("around")  # type: ignore[attr-defined]
    assert answered(indexed, "/last", "GET", "http", "", "")[0][0]["said"][0] == "around"


class Around:
    """Middleware."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def test_routes_that_are_told_apart_by_their_last_segment_are_too() -> None:
    routes = [Route(f"/orders/{{id}}/part{number}", Endpoint("")) for number in range(100)]
    assert RouteIndex(routes).positions("/orders/7/part99") == (99,)


class Odd(Route):
    """Matches what it likes."""

    def matches(self, scope: Scope) -> Any:
        return super().matches({**scope, "path": "/odd"})


def test_a_route_of_somebody_elses_kind_keeps_its_place() -> None:
    router = Router(many(Odd("/odd", Endpoint("odd")), Route("/last", Endpoint("last"))))
    sent, _ = answered(IndexedRouter(router, direct=True), "/last", "GET", "http", "", "")
    assert sent[0]["said"][0] == "odd"


def test_a_route_that_is_replaced_by_one_that_equals_it_is_the_new_one() -> None:
    endpoint = function("old")
    router = Router(many(Route("/same", endpoint)))
    indexed = IndexedRouter(router, direct=True)
    assert answered(indexed, "/same", "GET", "http", "", "")[0][0]["said"][0] == "old"
    router.routes[-1] = Route("/same", endpoint, middleware=[Middleware(Instead, "new")])
    assert answered(indexed, "/same", "GET", "http", "", "")[0][0]["said"][0] == "new"


class Instead(Endpoint):
    """Middleware that answers itself."""

    def __init__(self, app: Any, name: str) -> None:
        super().__init__(name)
        self.app = app


@pytest.mark.parametrize("change", ["append", "insert", "replace"])
def test_routes_that_are_changed_later_are_found(change: str) -> None:
    router = Router(many())
    indexed = IndexedRouter(router, direct=True)
    assert answered(indexed, "/new", "GET", "http", "", "")[0][0][0] == 404
    new = Route("/new", Endpoint("new"))
    if change == "append":
        router.routes.append(new)
    elif change == "insert":
        router.routes.insert(0, new)
    else:
        router.routes[50] = new
    assert answered(indexed, "/new", "GET", "http", "", "")[0][0]["said"][0] == "new"


def test_a_mounted_routers_routes_are_indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    matches = Route.matches

    def note(route: Route, scope: Scope) -> Any:
        tried.append(route.path)
        return matches(route, scope)

    monkeypatch.setattr(Route, "matches", note)
    indexed = IndexedRouter(Router([Mount("/v1", routes=many())]), direct=False)
    sent, _ = answered(indexed, "/v1/r99/x", "GET", "http", "", "")
    assert (sent[0]["said"][0], tried) == ("99", ["/r99/{x}"])


@pytest.mark.anyio
@pytest.mark.parametrize("count", [FEW, FEW + 1, 100])
async def test_a_service_with_routes_answers_by_its_index(serve: Any, logged: Any, count: int) -> None:
    async def home(request: Any) -> Response:
        return PlainTextResponse(str(request.url_for("r0")))

    routes = [Route(f"/r{number}", home, name=f"r{number}") for number in range(count)]
    served = await serve(Service("indexed", routes=routes))
    last = f"/r{count - 1}"
    assert (await served.client.get(last)).text == f"{served.running.url}/r0"
    assert (await served.client.get(f"{last}/")).status_code == 307
    assert (await served.client.post(last)).status_code == 405
    assert (await served.client.get("/nonesuch")).status_code == 404
    assert [line["route"] for line in logged("http.request")] == [last, "none", last, "none"]
