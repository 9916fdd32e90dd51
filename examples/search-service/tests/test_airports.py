"""`GET /airports` over real sockets."""

from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.anyio


async def found(client: httpx.AsyncClient, query: str, **more: str) -> list[dict[str, Any]]:
    response = await client.get("/airports", params={"q": query, **more})
    assert response.status_code == 200, response.text
    airports: list[dict[str, Any]] = response.json()["airports"]
    return airports


async def codes(client: httpx.AsyncClient, query: str, **more: str) -> list[str]:
    return [airport["code"] for airport in await found(client, query, **more)]


async def test_an_airport_is_told_with_its_place_and_its_clock(client: httpx.AsyncClient) -> None:
    assert (await found(client, "jfk"))[0] == {
        "code": "JFK",
        "name": "John F Kennedy International Airport",
        "city": "New York",
        "subdivision": "New York",
        "country": "US",
        "time_zone": "America/New_York",
        "served": True,
    }


async def test_codes_that_begin_with_the_query_come_first(client: httpx.AsyncClient) -> None:
    first = await codes(client, "la", limit="100")
    beginning = [code for code in first if code.startswith("LA")]
    assert first[: len(beginning)] == beginning
    assert beginning[:2] == ["LAS", "LAX"]
    assert len(first) == 100


async def test_an_airport_is_found_by_its_city(client: httpx.AsyncClient) -> None:
    assert (await codes(client, "new york"))[:2] == ["JFK", "LGA"]


async def test_an_airport_is_found_by_any_word_of_its_name(client: httpx.AsyncClient) -> None:
    assert "JFK" in await codes(client, "kennedy")
    assert "ORD" in await codes(client, "o'hare")


async def test_after_the_codes_come_airports_that_the_timetable_serves(client: httpx.AsyncClient) -> None:
    served = [airport["served"] for airport in await found(client, "san ", limit="100")]
    rest = served[served.index(False) :] if served[0] else served
    assert served[0]
    assert not any(rest)


@pytest.mark.parametrize("query", ["SÃO PAULO", "sao paulo", "são pau"])
async def test_case_and_accents_make_no_difference(client: httpx.AsyncClient, query: str) -> None:
    assert "GRU" in await codes(client, query)


async def test_no_airport_is_found_twice(client: httpx.AsyncClient) -> None:
    all_found = await codes(client, "san", limit="100")
    assert len(all_found) == len(set(all_found))


async def test_what_nothing_begins_with_finds_nothing(client: httpx.AsyncClient) -> None:
    assert await codes(client, "zzzz") == []
    assert await codes(client, "%") == []


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("", "q"),
        ("q=", "q"),
        ("q=%20", "q"),
        ("q=" + "x" * 101, "q"),
        ("q=new&limit=0", "limit"),
        ("q=a&city=b", "city"),
    ],
)
async def test_a_bad_query_is_refused(client: httpx.AsyncClient, query: str, parameter: str) -> None:
    response = await client.get(f"/airports?{query}")
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert [error["parameter"] for error in response.json()["errors"]] == [parameter]
