"""`GET /hotels` over real sockets."""

from datetime import date, timedelta
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.anyio

STAY = {"city": "SAN", "check_in": "2013-07-01", "check_out": "2013-07-04", "guests": "2"}


async def answer(client: httpx.AsyncClient, **query: str) -> dict[str, Any]:
    response = await client.get("/hotels", params=STAY | query)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    found: dict[str, Any] = response.json()
    return found


async def hotels(client: httpx.AsyncClient, **query: str) -> list[dict[str, Any]]:
    found = await answer(client, limit="100", **query)
    assert found["total"] == len(found["hotels"])
    every: list[dict[str, Any]] = found["hotels"]
    return every


async def test_a_stay_is_told_night_by_night_and_adds_up(client: httpx.AsyncClient) -> None:
    found = await answer(client)
    assert {name: found[name] for name in ("limit", "partial", "suppliers")} == {
        "limit": 20,
        "partial": False,
        "suppliers": {"local": "ok"},
    }
    for hotel in await hotels(client, guests="5"):
        nights = hotel["nights"]
        assert [night["date"] for night in nights] == ["2013-07-01", "2013-07-02", "2013-07-03"]
        assert min(night["available"] for night in nights) >= hotel["rooms"] >= 2
        stay = hotel["rooms"] * sum(night["price"] for night in nights)
        assert hotel["price"] == {"amount": stay, "currency": "USD", "synthetic": True}
        assert hotel["price_per_night"]["amount"] == pytest.approx(stay / 3, abs=0.01)
        assert (hotel["synthetic"], hotel["supplier"], hotel["city"], hotel["guests"]) == (True, "local", "SAN", 5)
        assert (hotel["check_in"], hotel["check_out"]) == ("2013-07-01", "2013-07-04")


@pytest.mark.parametrize("city", ["SAN", "san", "JFK", "HNL", "ANC", "STT", "MVY"])
async def test_every_city_with_flights_has_hotels(client: httpx.AsyncClient, city: str) -> None:
    found = await hotels(client, city=city)
    assert len(found) > 5
    assert {hotel["city"] for hotel in found} == {city.upper()}


async def test_all_airports_with_flights_have_hotels(client: httpx.AsyncClient) -> None:
    every = (await client.get("/airports", params={"q": "a", "limit": "100"})).json()["airports"]
    for served in [airport["code"] for airport in every if airport["served"]]:
        assert await hotels(client, city=served)


async def test_more_guests_need_more_rooms_and_pay_for_them(client: httpx.AsyncClient) -> None:
    two = {hotel["id"]: hotel for hotel in await hotels(client, guests="2")}
    for hotel in await hotels(client, guests="9"):
        assert 3 <= hotel["rooms"] <= 5
        assert hotel["price"]["amount"] == hotel["rooms"] * two[hotel["id"]]["price"]["amount"]


async def test_a_hotel_without_a_room_in_one_of_the_nights_is_not_offered(client: httpx.AsyncClient) -> None:
    short = {hotel["id"] for hotel in await hotels(client)}
    long = {hotel["id"] for hotel in await hotels(client, check_in="2013-06-20", check_out="2013-07-20")}
    assert long < short


async def test_the_year_ends_with_a_night_that_reaches_into_the_next(client: httpx.AsyncClient) -> None:
    found = await hotels(client, check_in="2013-12-31", check_out="2014-01-30")
    assert found[0]["nights"][-1]["date"] == "2014-01-29"


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("price", lambda each: (each["price"]["amount"], each["id"])),
        ("stars", lambda each: (-each["stars"], each["price"]["amount"], each["id"])),
        ("distance", lambda each: (each["distance_km"], each["price"]["amount"], each["id"])),
    ],
)
async def test_hotels_come_in_the_order_that_is_asked_for(client: httpx.AsyncClient, sort: str, order: Any) -> None:
    found = await hotels(client, sort=sort)
    assert found == sorted(found, key=order)
    if sort == "price":
        assert found == await hotels(client)


async def test_filters_leave_out_what_they_say_and_nothing_else(client: httpx.AsyncClient) -> None:
    every = await hotels(client)
    assert await hotels(client, stars="4") == [each for each in every if each["stars"] >= 4]
    assert await hotels(client, max_price="400.5") == [each for each in every if each["price"]["amount"] <= 400.5]
    assert await hotels(client, max_distance="2.5") == [each for each in every if each["distance_km"] <= 2.5]
    both = await hotels(client, stars="3", max_price="500", max_distance="5", sort="distance")
    assert both
    assert {each["id"] for each in both} == {
        each["id"]
        for each in every
        if each["stars"] >= 3 and each["price"]["amount"] <= 500 and each["distance_km"] <= 5
    }
    assert await hotels(client, max_price="0") == []


@pytest.mark.parametrize("limit", ["1", "7", "100"])
@pytest.mark.parametrize("sort", ["price", "stars", "distance"])
async def test_pages_join_to_the_whole_in_order(client: httpx.AsyncClient, limit: str, sort: str) -> None:
    found = [await answer(client, limit=limit, sort=sort)]
    while cursor := found[-1]["next_cursor"]:
        found.append(await answer(client, limit=limit, sort=sort, cursor=cursor))
    assert [hotel for page in found for hotel in page["hotels"]] == await hotels(client, sort=sort)


async def problems(client: httpx.AsyncClient, query: dict[str, str]) -> list[tuple[str, str | None]]:
    response = await client.get("/hotels", params=query)
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return [(error["parameter"], error["value"]) for error in response.json()["errors"]]


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("city", "XXX"),
        ("city", "LHR"),
        ("check_in", "2012-12-31"),
        ("check_in", "2014-01-01"),
        ("check_out", "2013-07-01"),
        ("check_out", "2013-06-30"),
        ("check_out", "2013-08-01"),
        ("check_out", "tomorrow"),
        ("check_out", "20130704"),
        ("check_out", "2013-02-30"),
        ("guests", "0"),
        ("guests", "10"),
        ("guests", "two"),
        ("guests", "\u0662"),
        ("stars", "6"),
        ("max_price", "-1"),
        ("max_price", "NaN"),
        ("max_distance", "far"),
        ("max_distance", "1e3"),
        ("sort", "name"),
        ("limit", "101"),
        ("cursor", "broken"),
        ("breakfast", "yes"),
    ],
)
async def test_a_bad_parameter_is_refused(client: httpx.AsyncClient, parameter: str, value: str) -> None:
    assert await problems(client, STAY | {parameter: value}) == [(parameter, value)]


async def test_all_bad_parameters_are_told_at_once(client: httpx.AsyncClient) -> None:
    found = await problems(client, {"city": "SAN", "guests": "0", "sort": "x", "stars": "x"})
    assert {parameter for parameter, _ in found} == {"check_in", "check_out", "guests", "sort", "stars"}


async def test_the_longest_stay_is_thirty_nights(client: httpx.AsyncClient) -> None:
    stay = {"check_in": "2013-01-01"}
    last = date(2013, 1, 1) + timedelta(days=30)
    await answer(client, **stay, check_out=last.isoformat())
    longer = (last + timedelta(days=1)).isoformat()
    assert await problems(client, STAY | stay | {"check_out": longer}) == [("check_out", longer)]


@pytest.mark.parametrize(
    "other", [{"city": "LAX"}, {"guests": "3"}, {"sort": "stars"}, {"stars": "2"}, {"check_out": "2013-07-05"}]
)
async def test_the_cursor_of_another_search_is_refused(client: httpx.AsyncClient, other: dict[str, str]) -> None:
    cursor = (await answer(client, limit="5"))["next_cursor"]
    assert await problems(client, STAY | other | {"cursor": cursor}) == [("cursor", cursor)]
