"""Suppliers over real sockets: those that answer, those that answer wrongly, and those that do not answer."""

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from processes import free_port
from prometheus_client import generate_latest
from search_service import service as search_service
from search_service.suppliers import LARGEST_ANSWER
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from supplier import service as supplier_service

from lmservice import Service
from lmservice.testing import running

pytestmark = pytest.mark.anyio

RunSearch = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
Answer = Callable[[Request], Response]

DAY = {"origin": "JFK", "destination": "SAN", "date": "2013-07-01"}
STAY = {"city": "SAN", "check_in": "2013-07-01", "check_out": "2013-07-04", "guests": "2"}
OFFER: dict[str, Any] = {
    "carrier": {"code": "AA", "name": "American Airlines Inc."},
    "flight_number": "AA9001",
    "origin": "JFK",
    "destination": "SAN",
    "departure": "2013-07-01T09:00:00-04:00",
    "arrival": "2013-07-01T12:00:00-07:00",
    "duration_minutes": 360,
    "aircraft": None,
    "cancelled": False,
    "punctuality": {"on_time_ratio": 0.9, "flights": 365},
    "price": {"amount": 1.5, "currency": "USD", "synthetic": True},
}


def page(*offers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"flights": list(offers), "total": len(offers), "limit": 100, "next_cursor": None, **more}


@asynccontextmanager
async def answering(answer: Callable[[Request], Awaitable[Response]]) -> AsyncIterator[str]:
    """A supplier of flights that answers as it is told; gives its base URL."""
    program = Service("told", routes=[Route("/flights", answer)])
    async with running(program) as told:
        yield told.url


async def found(client: httpx.AsyncClient, path: str = "/flights", **query: str) -> dict[str, Any]:
    asked = (DAY if path == "/flights" else STAY) | query
    response = await client.get(path, params=asked)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def host(url: str) -> str:
    return httpx.URL(url).netloc.decode()


async def test_an_offer_that_only_a_supplier_has_is_found_and_says_whose_it_is(run_search: RunSearch) -> None:
    asked: list[Request] = []

    async def answer(request: Request) -> Response:
        asked.append(request)
        return JSONResponse(page(OFFER))

    async with answering(answer) as url, run_search(suppliers=[url]) as client:
        answered = await found(client, max_price="2", sort="price", limit="1")
    assert answered["flights"] == [{**OFFER, "supplier": host(url)}]
    assert (answered["total"], answered["partial"]) == (1, False)
    assert answered["suppliers"] == {"local": "ok", host(url): "ok"}
    assert dict(asked[0].query_params) == {**DAY, "limit": "100"}
    assert asked[0].headers["max-forwards"] == "0"
    assert asked[0].headers["x-request-id"]


async def test_all_pages_of_a_supplier_are_read(run_search: RunSearch) -> None:
    async def answer(request: Request) -> Response:
        at = int(request.query_params.get("cursor", "0"))
        return JSONResponse(
            page({**OFFER, "flight_number": f"AA{9000 + at}"}, next_cursor=str(at + 1) if at < 4 else None)
        )

    async with answering(answer) as url, run_search(suppliers=[url]) as client:
        answered = await found(client, max_price="2")
    assert [each["flight_number"] for each in answered["flights"]] == [f"AA{9000 + at}" for at in range(5)]


def infinite() -> bytes:
    return json.dumps(page({**OFFER, "price": {**OFFER["price"], "amount": float("inf")}})).encode()


WRONG: dict[str, Answer] = {
    "no JSON": lambda _: Response("<html>", media_type="text/html"),
    "nothing": lambda _: Response(b""),
    "no text": lambda _: Response(b'{"flights": ["\xff"]}'),
    "an abyss": lambda _: Response(b"[" * 100_000),
    "a list": lambda _: JSONResponse([OFFER]),
    "no flights": lambda _: JSONResponse(page() | {"flights": 3}),
    "no price": lambda _: JSONResponse(page({**OFFER, "price": None})),
    "a price below nothing": lambda _: JSONResponse(page({**OFFER, "price": {**OFFER["price"], "amount": -1}})),
    "a price without end": lambda _: Response(infinite()),
    "no number": lambda _: JSONResponse(page({**OFFER, "flight_number": "AA one"})),
    "another carrier's number": lambda _: JSONResponse(page({**OFFER, "flight_number": "UA1"})),
    "no time zone": lambda _: JSONResponse(page({**OFFER, "departure": "2013-07-01T09:00:00"})),
    "another day": lambda _: JSONResponse(page({**OFFER, "departure": "2013-07-02T09:00:00-04:00"})),
    "another route": lambda _: JSONResponse(page({**OFFER, "destination": "LAX"})),
    "an arrival before the departure": lambda _: JSONResponse(page({**OFFER, "arrival": OFFER["departure"]})),
    "suppliers of its own": lambda _: JSONResponse(page(OFFER, suppliers={"local": "ok", "10.0.0.1:80": "ok"})),
    "pages without end": lambda _: JSONResponse(page(OFFER, next_cursor="again")),
    "404": lambda _: JSONResponse(page(OFFER), 404),
    "422": lambda _: JSONResponse(page(OFFER), 422),
    "500": lambda _: JSONResponse(page(OFFER), 500),
    "503": lambda _: JSONResponse(page(OFFER), 503),
    "204": lambda _: Response(status_code=204),
    "a way to itself": lambda request: RedirectResponse(str(request.url)),
    "far too much": lambda _: StreamingResponse(iter([b" " * 65_536] * (LARGEST_ANSWER // 65_536 + 1))),
    "compressed": lambda _: Response(gzip.compress(b" " * 10_000_000), headers={"content-encoding": "gzip"}),
}


@pytest.mark.parametrize("kind", WRONG)
async def test_a_supplier_that_answers_wrongly_has_failed_and_the_rest_is_answered(
    run_search: RunSearch, kind: str
) -> None:
    async def answer(request: Request) -> Response:
        return WRONG[kind](request)

    async with answering(answer) as url, run_search(suppliers=[url]) as client:
        answered = await found(client)
        own = await client.get("/flights", params=DAY, headers={"max-forwards": "0"})
    assert (answered.pop("partial"), answered.pop("suppliers")) == (True, {"local": "ok", host(url): "failed"})
    assert answered.items() <= own.json().items()
    assert answered["total"] == 5


async def test_a_supplier_that_nobody_runs_has_failed(run_search: RunSearch) -> None:
    gone = f"127.0.0.1:{free_port()}"
    async with run_search(suppliers=[f"http://{gone}"]) as client:
        assert (await found(client))["suppliers"] == {"local": "ok", gone: "failed"}
        assert (await found(client, "/hotels"))["suppliers"] == {"local": "ok", gone: "failed"}


async def test_a_supplier_that_drips_is_late(run_search: RunSearch) -> None:
    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.05)

    async def answer(_: Request) -> Response:
        return StreamingResponse(drip())

    async with answering(answer) as url, run_search(suppliers=[url], search_deadline=0.5) as client:
        assert (await found(client))["suppliers"] == {"local": "ok", host(url): "late"}


async def test_a_supplier_that_hangs_is_late_within_the_deadline_and_then_left_alone(
    run_search: RunSearch, supplied: Callable[..., AbstractAsyncContextManager[str]]
) -> None:
    clock = asyncio.get_running_loop().time
    async with (
        supplied("silent", supplier_hang_rate=1, request_timeout=5) as silent,
        supplied("acme") as well,
        run_search(suppliers=[silent, well], search_deadline=2) as client,
    ):
        outcomes = Counter[str]()
        while outcomes["open"] < 3:
            began = clock()
            answered = await found(client)
            took = clock() - began
            outcomes[answered["suppliers"][host(silent)]] += 1
            assert answered["partial"]
            assert answered["suppliers"][host(well)] == answered["suppliers"]["local"] == "ok"
            assert took < (1 if answered["suppliers"][host(silent)] == "open" else 2)
        assert outcomes == {"late": 5, "open": 3}


async def test_what_the_supplier_sells_is_merged_with_the_services_own(
    run_search: RunSearch, supplied: Callable[..., AbstractAsyncContextManager[str]]
) -> None:
    async with supplied("acme") as url, httpx.AsyncClient(base_url=url, trust_env=False) as acme:
        async with run_search() as client:
            own = {path: await found(client, path, limit="100") for path in ("/flights", "/hotels")}
            its = {path: await found(acme, path, limit="100") for path in ("/flights", "/hotels")}
        async with run_search(suppliers=[url]) as client:
            merged = {path: await found(client, path, limit="100") for path in ("/flights", "/hotels")}
    for path, name, key in (("/flights", "flights", "flight_number"), ("/hotels", "hotels", "id")):
        prices: dict[str, list[float]] = {}
        for each in own[path][name] + its[path][name]:
            prices.setdefault(each[key], []).append(each["price"]["amount"])
        assert {each[key]: each["price"]["amount"] for each in merged[path][name]} == {
            each: min(amounts) for each, amounts in prices.items()
        }
        assert {each["supplier"] for each in merged[path][name]} == {"local", host(url)}
        assert len(merged[path][name]) == merged[path]["total"] > own[path]["total"]


@pytest.mark.parametrize(
    ("path", "name", "sorts"),
    [
        ("/flights", "flights", ("departure", "price", "duration", "punctuality")),
        ("/hotels", "hotels", ("price", "stars", "distance")),
    ],
)
async def test_pages_of_what_is_merged_join_to_the_whole(
    run_search: RunSearch,
    supplied: Callable[..., AbstractAsyncContextManager[str]],
    path: str,
    name: str,
    sorts: tuple[str, ...],
) -> None:
    async with supplied("acme") as one, supplied("zeta") as two, run_search(suppliers=[one, two]) as client:
        for sort in sorts:
            whole = await found(client, path, sort=sort, limit="100")
            pages = [await found(client, path, sort=sort, limit="3")]
            while cursor := pages[-1]["next_cursor"]:
                pages.append(await found(client, path, sort=sort, limit="3", cursor=cursor))
            assert [each for page in pages for each in page[name]] == whole[name]
            assert {page["total"] for page in pages} == {whole["total"]} == {len(whole[name])}


async def test_two_services_that_supply_each_other_do_not_ask_in_circles(
    run_search: RunSearch, supplied: Callable[..., AbstractAsyncContextManager[str]]
) -> None:
    port = free_port()
    async with (
        supplied("acme", suppliers=[f"http://127.0.0.1:{port}"]) as acme,
        run_search(port=port, suppliers=[acme, f"http://localhost:{port}"]) as client,
        httpx.AsyncClient(base_url=acme, trust_env=False) as other,
    ):
        assert (await found(client))["suppliers"] == {"local": "ok", host(acme): "ok", f"localhost:{port}": "ok"}
        assert (await found(other))["suppliers"] == {"local": "ok", f"127.0.0.1:{port}": "ok"}


def _counted(labels: dict[str, str]) -> float:
    return search_service.metrics.registry.get_sample_value("search_supplier_outcomes_total", labels) or 0.0


async def test_how_suppliers_did_is_counted_by_their_names(run_search: RunSearch) -> None:
    gone = f"127.0.0.1:{free_port()}"
    failed = {"outcome": "failed", "supplier": gone}
    before = _counted(failed)  # a port may have been another test's
    async with run_search(suppliers=[f"http://{gone}"]) as client:
        await found(client)
    assert _counted(failed) == before + 1
    counted = generate_latest(search_service.metrics.registry).decode()
    assert 'search_supplier_outcomes_total{outcome="ok",supplier="local"}' in counted


async def test_suppliers_answer_where_the_own_database_does_not_and_without_them_there_is_no_answer(
    run_search: RunSearch, supplied: Callable[..., AbstractAsyncContextManager[str]], breakable_database: Any
) -> None:
    async with supplied("acme") as acme, run_search(suppliers=[acme], database_url=breakable_database.url) as client:
        breakable_database.break_()
        answered = await found(client)
        assert answered["suppliers"] == {"local": "failed", host(acme): "ok"}
        assert answered["partial"]
        assert answered["flights"]
        alone = await client.get("/flights", params=DAY, headers={"max-forwards": "0"})
    assert alone.status_code == 503
    assert alone.headers["content-type"] == "application/problem+json"
    assert int(alone.headers["retry-after"]) > 0
    assert alone.json()["detail"] == "no inventory could be searched: local failed: try again later"


async def test_a_supplier_is_the_same_at_every_start_and_differs_from_others(
    supplied: Callable[..., AbstractAsyncContextManager[str]],
) -> None:
    answers = []
    for name in ("acme", "acme", "zeta"):
        async with supplied(name) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
            answers.append((await found(client, limit="100"), await found(client, "/hotels", limit="100")))
    first, again, other = answers
    assert first == again
    assert first[0]["flights"] != other[0]["flights"]
    assert first[1]["hotels"] != other[1]["hotels"]


async def test_a_supplier_fails_and_is_slow_as_often_as_it_is_told(
    supplied: Callable[..., AbstractAsyncContextManager[str]],
) -> None:
    clock = asyncio.get_running_loop().time
    async with (
        supplied("bad", supplier_error_rate=1) as bad,
        httpx.AsyncClient(base_url=bad, trust_env=False) as client,
    ):
        assert {(await client.get("/hotels", params=STAY)).status_code for _ in range(5)} == {503}
    async with (
        supplied("slow", supplier_latency=0.3) as slow,
        httpx.AsyncClient(base_url=slow, trust_env=False) as client,
    ):
        began = clock()
        await found(client, "/hotels")
        assert clock() - began >= 0.3


def test_the_jobs_of_the_supplier_can_be_put_in_order() -> None:
    supplier_service.check()
