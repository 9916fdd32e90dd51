"""The label `http_route`: the template of what answered, whatever the app is made of."""

from typing import Any, cast

import litestar
import pytest
from fastapi import APIRouter, FastAPI
from litestar.params import FromPath
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host, Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from lmservice import Service

pytestmark = pytest.mark.anyio


async def answer(_: Request) -> Response:
    return PlainTextResponse("answer")


async def answer_for_fastapi() -> str:
    return "answer"


async def answer_raw(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("answer")(scope, receive, send)


async def fail(_: Request) -> Response:
    raise RuntimeError


INNER = Starlette(routes=[Route("/leaf/{leaf:int}", answer), Route("/", answer)])
ROUTES = [
    Route("/", answer),
    Route("/plain", answer),
    Route("/hello/{name}", answer, methods=["GET"]),
    Route("/files/{rest:path}", answer),
    Route("/number/{number:int}/half", answer),
    Route("/fail/{why}", fail),
    Mount("/outer", routes=[Mount("/inner/{kind}", routes=[Route("/{leaf}", answer), Route("/", answer)])]),
    Mount("/raw", app=answer_raw),
    Mount("/one", app=INNER),
    Mount("/two/{tenant}", app=INNER),
    Mount("/static", app=StaticFiles(directory=".")),
    Host("{tenant}.example.org", app=Router(routes=[Route("/hosted/{name}", answer)])),
]


@pytest.fixture(scope="module")
async def served(serve_module: Any) -> Any:
    return await serve_module(Service("routes", routes=ROUTES))


async def routes_of(served: Any, logged: Any, path: str, method: str = "GET", host: str = "") -> tuple[str, set[str]]:
    """The route in the access line, and the routes that the request added to the metrics."""
    before = await served.metrics()
    await served.client.request(method, path, headers={"Host": host} if host else {})
    counts = await served.metrics()
    changed = {name for name in counts if "_duration_seconds_count" in name and counts[name] != before.get(name)}
    return logged("http.request")[-1]["route"], {name.split('http_route="')[1].split('"')[0] for name in changed}


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/", "/"),
        ("/plain", "/plain"),
        ("/hello/world", "/hello/{name}"),
        ("/files/a/b/c", "/files/{rest}"),
        ("/number/7/half", "/number/{number}/half"),
        ("/fail/because", "/fail/{why}"),
        ("/outer/inner/x/y", "/outer/inner/{kind}/{leaf}"),
        ("/outer/inner/x/", "/outer/inner/{kind}/"),
        ("/one/leaf/1", "/one/leaf/{leaf}"),
        ("/two/acme/leaf/1", "/two/{tenant}/leaf/{leaf}"),
        ("/one/", "/one/"),
        ("/two/one/", "/two/{tenant}/"),
        ("/nonesuch", "none"),
        ("/hello", "none"),
        ("/number/seven/half", "none"),
        ("/plain/", "none"),
        ("/outer/nonesuch", "none"),
        ("/outer/inner/x/y/z", "none"),
        ("/one/leaf/x", "none"),
        ("/{evil}", "none"),
    ],
)
async def test_the_route_is_the_template_mounts_included(served: Any, logged: Any, path: str, template: str) -> None:
    assert await routes_of(served, logged, path) == (template, {template})


async def test_a_405_is_of_the_route_that_does_not_take_the_method(served: Any, logged: Any) -> None:
    assert await routes_of(served, logged, "/hello/world", "DELETE") == ("/hello/{name}", {"/hello/{name}"})


async def test_a_route_below_a_host_is_its_own_template(served: Any, logged: Any) -> None:
    found = await routes_of(served, logged, "/hosted/x", host="acme.example.org")
    assert found == ("/hosted/{name}", {"/hosted/{name}"})


@pytest.mark.parametrize("mount", ["/raw", "/static"])
async def test_a_mount_without_routes_is_one_route_whatever_the_path(served: Any, logged: Any, mount: str) -> None:
    for leaf in ("a", "b/c", "README.md"):
        assert await routes_of(served, logged, f"{mount}/{leaf}") == (mount, {mount})


class Passing:
    """Middleware, plain ASGI."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


async def test_middleware_around_an_app_hides_none_of_its_mounts(serve: Any, logged: Any) -> None:
    inner = Passing(Starlette(routes=[Mount("/{kind}", app=Passing(INNER))]))
    served = await serve(Service("routes", app=Passing(Starlette(routes=[Mount("/outer", app=inner)]))))
    for path, template in {"/outer/x/leaf/1": "/outer/{kind}/leaf/{leaf}", "/outer/x/nonesuch": "none"}.items():
        assert await routes_of(served, logged, path) == (template, {template})


async def test_one_route_in_two_places_is_two_templates(serve: Any, logged: Any) -> None:
    shared = Route("/shared", answer)
    served = await serve(Service("routes", routes=[shared, Mount("/below", routes=[shared])]))
    for path in ("/shared", "/below/shared", "/shared"):
        assert await routes_of(served, logged, path) == (path, {path})


async def test_fastapis_routers_and_mounts_are_included(serve: Any, logged: Any) -> None:
    leaf, branch, app, sub, deep = APIRouter(), APIRouter(prefix="/branch"), FastAPI(), FastAPI(), FastAPI()
    leaf.get("/leaf/{number}")(answer_for_fastapi)
    branch.include_router(leaf, prefix="/twig/{twig}")
    app.include_router(branch, prefix="/v1")
    app.include_router(branch, prefix="/v2")
    app.get("/plain/{name}")(answer_for_fastapi)
    sub.get("/below/{name}")(answer_for_fastapi)
    sub.include_router(leaf, prefix="/included/{thing}")
    sub.mount("/deep/{level}", deep)
    deep.get("/deepest")(answer_for_fastapi)
    app.mount("/sub", sub)
    app.mount("/{tenant}/sub", sub)
    app.mount("/raw", answer_raw)
    served = await serve(Service("routes", app=app))
    for path, template in {
        "/plain/x": "/plain/{name}",
        "/v1/branch/twig/x/leaf/1": "/v1/branch/twig/{twig}/leaf/{number}",
        "/v2/branch/twig/x/leaf/1": "/v2/branch/twig/{twig}/leaf/{number}",
        "/sub/below/x": "/sub/below/{name}",
        "/sub/nonesuch": "none",
        "/sub/included/x/leaf/1": "/sub/included/{thing}/leaf/{number}",
        "/sub/deep/7/deepest": "/sub/deep/{level}/deepest",
        "/acme/sub/below/x": "/{tenant}/sub/below/{name}",
        "/acme/sub/deep/7/deepest": "/{tenant}/sub/deep/{level}/deepest",
        "/sub/docs": "/sub/docs",
        "/raw/x": "/raw",
        "/v1/nonesuch": "none",
        "/openapi.json": "/openapi.json",
    }.items():
        assert await routes_of(served, logged, path) == (template, {template})


async def test_fastapi_mounted_among_routes_is_below_its_mount(serve: Any, logged: Any) -> None:
    app, sub, router = FastAPI(), FastAPI(), APIRouter()
    router.get("/leaf/{number}")(answer_for_fastapi)
    app.include_router(router, prefix="/v1")
    app.mount("/sub", sub)
    sub.include_router(router)
    served = await serve(Service("routes", routes=[Mount("/fast/{tenant}", app=app)]))
    for path, template in {
        "/fast/x/v1/leaf/1": "/fast/{tenant}/v1/leaf/{number}",
        "/fast/x/sub/leaf/1": "/fast/{tenant}/sub/leaf/{number}",
        "/fast/x/docs": "/fast/{tenant}/docs",
        "/fast/x/nonesuch": "none",
        "/fast/x/sub/nonesuch": "none",
    }.items():
        assert await routes_of(served, logged, path) == (template, {template})


@litestar.get("/", sync_to_thread=False)
def root_for_litestar() -> str:
    return "answer"


@litestar.get("/hello/{name:str}", sync_to_thread=False)
def hello_for_litestar(name: FromPath[str]) -> str:
    return name


@litestar.post("/number/{number:int}/half", sync_to_thread=False)
def half_for_litestar(number: FromPath[int]) -> int:
    return number // 2


@litestar.get("/files/{rest:path}", sync_to_thread=False)
def files_for_litestar(rest: FromPath[str]) -> str:
    return rest


@litestar.get("/fail/{why:str}", sync_to_thread=False)
def fail_for_litestar(why: FromPath[str]) -> None:
    raise RuntimeError(why)


@litestar.asgi("/mounted", is_mount=True, copy_scope=False)
async def mounted_in_litestar(scope: Any, receive: Any, send: Any) -> None:
    await INNER(scope, receive, send)


LITESTAR = litestar.Litestar(
    [
        root_for_litestar,
        hello_for_litestar,
        files_for_litestar,
        fail_for_litestar,
        litestar.Router(
            "/v1",
            route_handlers=[
                litestar.Router("/{tenant:str}", route_handlers=[hello_for_litestar, half_for_litestar]),
                mounted_in_litestar,
            ],
        ),
    ],
    logging_config=None,
)
OF_LITESTAR = [
    ("GET", "/", "/"),
    ("GET", "/hello/world", "/hello/{name}"),
    ("GET", "/hello/world/", "/hello/{name}"),
    ("GET", "/files/a/b", "/files/{rest}"),
    ("GET", "/fail/because", "/fail/{why}"),
    ("GET", "/v1/acme/hello/world", "/v1/{tenant}/hello/{name}"),
    ("POST", "/v1/acme/number/7/half", "/v1/{tenant}/number/{number}/half"),
    ("OPTIONS", "/hello/world", "/hello/{name}"),
    ("HEAD", "/hello/world", "/hello/{name}"),
    ("DELETE", "/hello/world", "/hello/{name}"),
    ("GET", "/v1/acme/number/7/half", "/v1/{tenant}/number/{number}/half"),
    ("GET", "/v1/mounted/leaf/1", "/v1/mounted"),
    ("GET", "/schema/openapi.json", "/schema/openapi.json"),
    ("GET", "/nonesuch", "none"),
    ("DELETE", "/nonesuch", "none"),
    ("GET", "/hello", "none"),
    ("POST", "/v1/acme/number/seven/half", "none"),
]


@pytest.fixture(scope="module")
async def litestars(serve_module: Any) -> Any:
    return await serve_module(Service("routes", app=LITESTAR))


@pytest.mark.parametrize(("method", "path", "template"), OF_LITESTAR)
async def test_litestars_routes_are_named_like_starlettes(
    litestars: Any, logged: Any, method: str, path: str, template: str
) -> None:
    assert await routes_of(litestars, logged, path, method) == (template, {template})


async def test_litestar_mounted_among_routes_is_below_its_mount(serve: Any, logged: Any) -> None:
    served = await serve(
        Service("routes", routes=[Mount("/lite/{kind}", app=cast("ASGIApp", LITESTAR)), Route("/plain", answer)])
    )
    for method, path, own in OF_LITESTAR:
        template = own if own == "none" else f"/lite/{{kind}}{own}"
        assert await routes_of(served, logged, f"/lite/x{path}", method) == (template, {template})
    assert await routes_of(served, logged, "/plain") == ("/plain", {"/plain"})


async def test_a_raw_app_has_no_routes(serve: Any, logged: Any) -> None:
    served = await serve(Service("routes", app=answer_raw))
    assert await routes_of(served, logged, "/any/path") == ("none", {"none"})


async def test_a_raw_app_cannot_make_the_label_grow_without_bound(serve: Any, logged: Any) -> None:
    class EachItsOwn:
        def __init__(self, path: str) -> None:
            self.path = path

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = EachItsOwn(scope["path"])
        await answer_raw(scope, receive, send)

    served = await serve(Service("routes", app=app))
    for number in range(230):
        await served.client.get(f"/{number}")
    labels = {line["route"] for line in logged("http.request")}
    assert labels == {f"/{number}" for number in range(200)} | {"_OTHER"}


async def test_routes_past_200_are_folded_with_one_warning_that_names_the_label(serve: Any, logged: Any) -> None:
    routes = [Route(f"/{number}/{{name}}", answer) for number in range(210)]
    served = await serve(Service("routes", routes=routes))
    for _ in range(2):
        for number in range(210):
            await served.client.get(f"/{number}/x")
    await served.client.get("/nonesuch")
    lines = logged()
    found = [line["route"] for line in lines if line["event"] == "http.request"]
    assert found[:200] == found[210:410] == [f"/{number}/{{name}}" for number in range(200)]
    assert found[200:210] == found[410:420] == ["_OTHER"] * 10
    assert found[420] == "none"
    warnings = [line for line in lines if line["level"] == "warning"]
    assert len(warnings) == 1
    assert "http_route" in str(warnings[0])
    counted = [name for name in await served.metrics() if name.startswith("http_server_request_duration_seconds_count")]
    assert len(counted) == 202
