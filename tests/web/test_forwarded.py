"""What proxies say of a request is believed of those that are named, and of them only what they set themselves."""

import logging
from typing import Any

import httpx
import litestar
import pytest
import websockets
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from litestar.params import FromPath
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from lmservice import Service, Settings
from lmservice.web.forwarded import Forwarding, elements_of

ALL = "for,proto,host,port,prefix"
PRIVATE = "10.0.0.0/8"


def seen(*headers: tuple[str, str], peer: str = "10.0.0.1", kind: str = "http", **settings: Any) -> dict[str, Any]:
    """What is left in the scope of a request that a peer sent with these headers."""
    sent = [(b"host", b"inside:8081"), *((name.lower().encode(), value.encode("latin-1")) for name, value in headers)]
    scope: dict[str, Any] = {
        "type": kind,
        "scheme": "ws" if kind == "websocket" else "http",
        "client": (peer, 4711),
        "server": ("10.0.0.2", 8081),
        "path": "/orders",
        "raw_path": b"/orders",
        "root_path": "",
        "headers": sent,
    }
    chosen = {"forwarded_allow": [PRIVATE], **settings}
    Forwarding(Settings.load(**chosen)).apply(scope, dict(scope["headers"]))
    return scope


def client(*lines: str, peer: str = "10.0.0.1", **settings: Any) -> str:
    """Whose request it is, by the lines of `X-Forwarded-For`."""
    host: str = seen(*(("X-Forwarded-For", line) for line in lines), peer=peer, **settings)["client"][0]
    return host


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        (["1.2.3.4, 203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9, 10.0.0.7"], "203.0.113.9"),
        (["1.2.3.4", "203.0.113.9,10.0.0.7"], "203.0.113.9"),
        (["10.0.0.8, 10.0.0.7"], "10.0.0.8"),
        (["2001:db8::9"], "2001:db8::9"),
        (["[2001:db8::9]:80"], "2001:db8::9"),
        (["2001:DB8:0:0::9"], "2001:db8::9"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9, , 10.0.0.7,"], "203.0.113.9"),
        (["203.0.113.9, unknown, 10.0.0.7"], "10.0.0.7"),
        (["203.0.113.9, _hidden"], "10.0.0.1"),
        (["1.2.3.4\x85"], "10.0.0.1"),
        (['fe80::1%"x'], "10.0.0.1"),
        ([""], "10.0.0.1"),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_no_proxy(lines: list[str], address: str) -> None:
    assert client(*lines) == address


def test_the_clients_port_is_known_where_the_proxy_says_it() -> None:
    assert seen(("X-Forwarded-For", "203.0.113.9:5001"))["client"] == ("203.0.113.9", 5001)
    assert seen(("X-Forwarded-For", "203.0.113.9"))["client"] == ("203.0.113.9", 0)
    assert seen(("X-Forwarded-For", "203.0.113.9:99999"))["client"] == ("203.0.113.9", 0)


@pytest.mark.parametrize("peer", ["192.0.2.1", "::1", "nonsense", "172.16.0.1"])
def test_nobody_else_is_believed(peer: str) -> None:
    headers = [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example")]
    scope = seen(*headers, ("X-Forwarded-Prefix", "/evil"), peer=peer, forwarded_headers=ALL.split(","))
    assert (scope["client"], scope["scheme"], scope["path"]) == ((peer, 4711), "http", "/orders")
    assert (b"host", b"inside:8081") in scope["headers"]


def test_a_peer_on_a_dual_stack_socket_is_known_by_its_ipv4_address() -> None:
    assert client("203.0.113.9", peer="::ffff:10.0.0.1") == "203.0.113.9"


def test_the_leftmost_is_believed_where_every_network_is() -> None:
    assert client("1.2.3.4, 203.0.113.9", forwarded_allow=["0.0.0.0/0", "::/0"]) == "1.2.3.4"


@pytest.mark.parametrize(
    ("kind", "proto", "scheme"),
    [
        ("http", "https", "https"),
        ("http", "HTTPS", "https"),
        ("http", "wss", "https"),
        ("http", "http", "http"),
        ("http", "javascript", "http"),
        ("http", "", "http"),
        ("websocket", "https", "wss"),
        ("websocket", "wss", "wss"),
        ("websocket", "http", "ws"),
    ],
)
def test_the_scheme_is_the_one_outside(kind: str, proto: str, scheme: str) -> None:
    assert seen(("X-Forwarded-Proto", proto), kind=kind)["scheme"] == scheme


@pytest.mark.parametrize(
    ("chain", "protos", "scheme"),
    [
        ("203.0.113.9", "https, http", "http"),
        ("203.0.113.9, 10.0.0.7", "https, http", "https"),
        ("1.2.3.4, 203.0.113.9, 10.0.0.7", "http, https, http", "https"),
        ("203.0.113.9, 10.0.0.7", "https", "https"),
    ],
)
def test_of_several_schemes_the_one_that_belongs_to_the_client_counts(chain: str, protos: str, scheme: str) -> None:
    assert seen(("X-Forwarded-For", chain), ("X-Forwarded-Proto", protos))["scheme"] == scheme


def host(*headers: tuple[str, str], allowed: str = ALL) -> tuple[str, tuple[str, int]]:
    scope = seen(*headers, forwarded_headers=allowed.split(","))
    (found,) = [value.decode() for name, value in scope["headers"] if name == b"host"]
    return found, scope["server"]


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"Host": "shop.example"}, ("shop.example", ("shop.example", 80))),
        ({"Host": "shop.example:8443"}, ("shop.example:8443", ("shop.example", 8443))),
        ({"Host": "[2001:db8::1]:8443"}, ("[2001:db8::1]:8443", ("2001:db8::1", 8443))),
        ({"Host": "shop.example", "Proto": "https"}, ("shop.example", ("shop.example", 443))),
        ({"Host": "shop.example", "Port": "8443"}, ("shop.example:8443", ("shop.example", 8443))),
        ({"Host": "shop.example", "Proto": "https", "Port": "443"}, ("shop.example", ("shop.example", 443))),
        ({"Port": "80"}, ("inside", ("inside", 80))),
        ({"Port": "99999"}, ("inside:8081", ("10.0.0.2", 8081))),
        ({"Port": "x"}, ("inside:8081", ("10.0.0.2", 8081))),
        ({"Host": "evil.example/path"}, ("inside:8081", ("10.0.0.2", 8081))),
        ({"Host": "user@evil.example"}, ("inside:8081", ("10.0.0.2", 8081))),
        ({"Host": "a b"}, ("inside:8081", ("10.0.0.2", 8081))),
    ],
)
def test_host_and_port_are_those_outside(headers: dict[str, str], found: tuple[str, tuple[str, int]]) -> None:
    assert host(*((f"X-Forwarded-{name}", value) for name, value in headers.items())) == found


def test_host_port_and_prefix_are_not_believed_unless_they_are_named() -> None:
    headers = [("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Port", "1"), ("X-Forwarded-Prefix", "/evil")]
    assert host(*headers, allowed="for,proto") == ("inside:8081", ("10.0.0.2", 8081))
    assert seen(*headers)["root_path"] == ""


def test_a_header_that_is_not_named_is_not_believed() -> None:
    scope = seen(("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https"), forwarded_headers=["proto"])
    assert (scope["client"][0], scope["scheme"]) == ("10.0.0.1", "https")


def root(prefix: str, **settings: Any) -> tuple[str, str, bytes]:
    headers = [("X-Forwarded-Prefix", prefix)] if prefix else []
    scope = seen(*headers, forwarded_headers=ALL.split(","), **settings)
    return scope["root_path"], scope["path"], scope["raw_path"]


@pytest.mark.parametrize("prefix", ["/shop", "/shop/"])
def test_the_prefix_that_a_proxy_took_away_is_put_back(prefix: str) -> None:
    assert root(prefix) == ("/shop", "/shop/orders", b"/shop/orders")


@pytest.mark.parametrize("prefix", ["shop", "//evil.example", "/a b", "/", "https://evil.example"])
def test_a_prefix_that_is_none_is_left(prefix: str) -> None:
    assert root(prefix) == ("", "/orders", b"/orders")


def test_the_root_path_is_put_before_each_path_unless_the_proxy_says_another() -> None:
    assert root("", root_path="/base") == ("/base", "/base/orders", b"/base/orders")
    assert root("/shop", root_path="/base") == ("/shop", "/shop/orders", b"/shop/orders")


def forwarded(*lines: str) -> tuple[str, str, str]:
    scope = seen(*(("Forwarded", line) for line in lines), forwarded_headers=["forwarded"])
    return scope["client"][0], scope["scheme"], dict(scope["headers"])[b"host"].decode()


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["for=203.0.113.9;proto=https;host=shop.example"], ("203.0.113.9", "https", "shop.example")),
        (['For="[2001:db8::9]:4711"; PROTO=https'], ("2001:db8::9", "https", "inside:8081")),
        (["for=1.2.3.4;proto=http, for=203.0.113.9;proto=https"], ("203.0.113.9", "https", "inside:8081")),
        (["for=203.0.113.9;proto=https, for=10.0.0.7;proto=http"], ("203.0.113.9", "https", "inside:8081")),
        (["for=203.0.113.9;proto=https", "for=10.0.0.7;proto=http"], ("203.0.113.9", "https", "inside:8081")),
        (["for=203.0.113.9, for=unknown;proto=https"], ("10.0.0.1", "https", "inside:8081")),
        (["for=_gazonk;host=shop.example"], ("10.0.0.1", "http", "shop.example")),
        (["proto=https"], ("10.0.0.1", "https", "inside:8081")),
        (['for="203.0.113.9\\"'], ("10.0.0.1", "http", "inside:8081")),
        (['for=203.0.113.9;host="a, b"'], ("203.0.113.9", "http", "inside:8081")),
        ([","], ("10.0.0.1", "http", "inside:8081")),
    ],
)
def test_rfc_7239s_header_is_read_where_it_is_named(lines: list[str], found: tuple[str, str, str]) -> None:
    assert forwarded(*lines) == found


def test_rfc_7239s_header_and_the_others_exclude_each_other() -> None:
    both = [("Forwarded", "for=203.0.113.9"), ("X-Forwarded-For", "198.51.100.7")]
    assert seen(*both)["client"][0] == "198.51.100.7"
    assert seen(*both, forwarded_headers=["forwarded"])["client"][0] == "203.0.113.9"


TOKENS = st.text("abcdefgh-_.", min_size=1, max_size=8)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)


@given(st.lists(st.dictionaries(TOKENS, VALUES, min_size=1, max_size=4), max_size=4))
def test_what_is_written_as_rfc_7239_says_is_read_back(elements: list[dict[str, str]]) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(";".join(f"{name}={quoted(value)}" for name, value in each.items()) for each in elements)
    assert elements_of(header) == elements


@given(st.text(st.sampled_from('for=";, \\a1[]:')))
def test_no_header_breaks_the_reading(header: str) -> None:
    assert all(isinstance(element, dict) for element in elements_of(header))
    assert seen(("Forwarded", header), forwarded_headers=["forwarded"])["client"]


def test_a_header_in_vain_is_told_once_in_dev(caplog: pytest.LogCaptureFixture) -> None:
    forwarding = Forwarding(Settings.load())
    with caplog.at_level(logging.WARNING):
        for peer in ("192.0.2.1", "192.0.2.2"):
            headers = [(b"x-forwarded-for", b"1.2.3.4")]
            scope = {"type": "http", "scheme": "http", "client": (peer, 1), "path": "/", "headers": headers}
            forwarding.apply(scope, dict(headers))
    (record,) = caplog.records
    assert record.message == "lmservice.forwarded_in_vain"
    assert "LM_FORWARDED_ALLOW" in vars(record)["hint"]


def test_a_header_that_the_proxies_do_not_set_is_told_in_dev(caplog: pytest.LogCaptureFixture) -> None:
    seen(("X-Forwarded-Host", "shop.example"))
    assert ["LM_FORWARDED_HEADERS" in vars(record)["hint"] for record in caplog.records] == [True]


def test_nothing_is_told_elsewhere_nor_where_all_is_believed(caplog: pytest.LogCaptureFixture) -> None:
    seen(("X-Forwarded-For", "1.2.3.4"), peer="192.0.2.1", environment="production")
    seen(("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https"))
    assert not caplog.records


async def tell(request: Request) -> Response:
    url = str(request.url_for("tell", name="x"))
    return JSONResponse({"url": url, "client": request.client.host if request.client else None})


async def tell_below(request: Request) -> Response:
    return JSONResponse(str(request.url_for("inner:below")))


async def shake_hands(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json({"url": str(websocket.url), "client": websocket.client and websocket.client.host})
    await websocket.close()


def service() -> Service:
    inner = Mount("/inner", routes=[Route("/below", tell_below, name="below")], name="inner")
    routes = [
        Route("/tell/{name}", tell, name="tell"),
        Route("/slash/", tell),
        inner,
        WebSocketRoute("/ws", shake_hands),
    ]
    return Service("behind", routes=routes)


PROXYS = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "Host": "shop.example"}


@pytest.mark.anyio
@pytest.mark.parametrize("http", ["httptools", "h11"])
async def test_redirects_urls_and_the_access_line_are_the_clients(serve: Any, logged: Any, http: str) -> None:
    served = await serve(service(), http=http)
    redirect = await served.client.get("/slash", headers=PROXYS)
    assert redirect.headers["location"] == "https://shop.example/slash/"
    said = (await served.client.get("/tell/y", headers=PROXYS)).json()
    assert said == {"url": "https://shop.example/tell/x", "client": "203.0.113.9"}
    assert [line["client"] for line in logged("http.request")] == ["203.0.113.9"] * 2


@pytest.mark.anyio
async def test_the_client_is_left_out_of_the_line_where_that_is_wished(serve: Any, logged: Any) -> None:
    served = await serve(service(), log_client=False)
    await served.client.get("/tell/y", headers=PROXYS)
    assert "client" not in logged("http.request")[0]


@pytest.mark.anyio
async def test_a_websocket_is_the_clients(serve: Any, logged: Any) -> None:
    served = await serve(service())
    url = served.running.url.replace("http", "ws") + "/ws"
    headers = {name: value for name, value in PROXYS.items() if name != "Host"}
    async with websockets.connect(url, additional_headers=headers, proxy=None) as websocket:
        said = httpx.Response(200, content=await websocket.recv()).json()
    assert said["client"] == "203.0.113.9"
    assert said["url"].startswith("wss://")
    await served.running.stop()
    assert logged("http.request")[0]["client"] == "203.0.113.9"


@pytest.mark.anyio
async def test_a_prefix_is_in_urls_and_neither_in_routes_nor_in_the_line(serve: Any, logged: Any) -> None:
    served = await serve(service(), root_path="/inner")
    said = (await served.client.get("/tell/y", headers=PROXYS)).json()
    assert said["url"] == "https://shop.example/inner/tell/x"
    assert (await served.client.get("/inner/below", headers=PROXYS)).json() == "https://shop.example/inner/inner/below"
    lines = [(line["route"], line["path"]) for line in logged("http.request")]
    assert lines == [("/tell/{name}", "/tell/y"), ("/inner/below", "/inner/below")]


@litestar.get("/hello/{name:str}", sync_to_thread=False)
def hello_for_litestar(name: FromPath[str]) -> str:
    return name


def of_fastapi() -> FastAPI:
    async def hello(name: str) -> str:
        return name

    app, inner = FastAPI(), FastAPI()
    app.get("/hello/{name}")(hello)
    inner.get("/hello/{name}")(hello)
    app.mount("/inner", inner)
    return app


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("app", "paths"),
    [
        (of_fastapi(), {"/hello/x": "/hello/{name}", "/inner/hello/x": "/inner/hello/{name}", "/nonesuch": "none"}),
        (
            litestar.Litestar([hello_for_litestar], logging_config=None),
            {"/hello/x": "/hello/{name}", "/nonesuch": "none"},
        ),
    ],
    ids=["fastapi", "litestar"],
)
async def test_a_prefix_changes_no_route_of_other_frameworks(
    serve: Any, logged: Any, app: Any, paths: dict[str, str]
) -> None:
    served = await serve(Service("behind", app=app), root_path="/shop")
    statuses = [(await served.client.get(path)).status_code for path in paths]
    assert statuses == [404 if route == "none" else 200 for route in paths.values()]
    assert {line["path"]: line["route"] for line in logged("http.request")} == paths


def test_the_start_says_whom_uvicorns_variable_believes(start_process: Any) -> None:
    program = "from lmservice import Service\nservice = Service('behind', routes=[])\n"
    process = start_process(program, settings={"FORWARDED_ALLOW_IPS": "10.0.0.0/8,traefik"})
    process.wait_ready()
    assert process.event("lmservice.proxies_by_uvicorn")["networks"] == ["10.0.0.0/8"]
    assert process.event("lmservice.proxies_unknown")["entries"] == ["traefik"]
    process.stop()


def test_the_start_warns_where_everybody_is_believed(start_process: Any) -> None:
    program = "from lmservice import Service\nservice = Service('behind', routes=[])\n"
    process = start_process(program, settings={"FORWARDED_ALLOW_IPS": "*"})
    process.wait_ready()
    assert process.event("lmservice.proxies_everywhere")["level"] == "warning"
    process.stop()
