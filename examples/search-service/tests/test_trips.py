"""`GET /trips` over real sockets."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from search_service import kinds
from search_service.database import Database
from search_service.flights import LocalFlights
from search_service.hotels import HotelSearch
from search_service.market import Market
from search_service.markets import Markets
from search_service.offers import HotelOffer, TripProblem
from search_service.trips import FLIGHTS, HOTELS, TripSearch, find_trips

pytestmark = pytest.mark.anyio

ROUTE = {"origin": "JFK", "destination": "SAN"}
STAY = {"check_in": "2013-07-01", "check_out": "2013-07-04", "guests": "2"}
TRIP = ROUTE | STAY
SEARCH = TripSearch(origin="JFK", destination="SAN", check_in=date(2013, 7, 1), check_out=date(2013, 7, 4), guests=2)


async def found(client: httpx.AsyncClient, path: str = "/trips", **query: str) -> dict[str, Any]:
    response = await client.get(path, params=query)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def parts(client: httpx.AsyncClient, **query: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The flights and the hotels of which the trip is made, each by its own endpoint, the cheapest first."""
    flights = await found(client, "/flights", **ROUTE, date=STAY["check_in"], sort="price", limit="100")
    hotels = await found(client, "/hotels", city="SAN", **(STAY | query), limit="100")
    return [each for each in flights["flights"] if not each["cancelled"]], hotels["hotels"]


async def every(client: httpx.AsyncClient, **query: str) -> list[dict[str, Any]]:
    pages = [await found(client, **query, limit="100")]
    while cursor := pages[-1]["next_cursor"]:
        pages.append(await found(client, **query, limit="100", cursor=cursor))
    trips = [trip for page in pages for trip in page["trips"]]
    assert {page["total"] for page in pages} == {len(trips)}
    return trips


async def test_every_flight_goes_with_every_hotel_and_the_cheapest_trip_comes_first(client: httpx.AsyncClient) -> None:
    flights, hotels = await parts(client)
    trips = await every(client, **TRIP)
    assert len(trips) == min(len(flights), FLIGHTS) * min(len(hotels), HOTELS) > 100
    amounts = [trip["price"]["amount"] for trip in trips]
    assert amounts == sorted(amounts)
    for trip in trips:
        assert trip["flight"] in flights
        assert trip["hotel"] in hotels
        total = 2 * trip["flight"]["price"]["amount"] + trip["hotel"]["price"]["amount"]
        assert trip["price"] == {"amount": round(total, 2), "currency": "USD", "synthetic": True}
    assert len({(trip["flight"]["flight_number"], trip["hotel"]["id"]) for trip in trips}) == len(trips)


async def test_a_whole_answer_says_so(client: httpx.AsyncClient) -> None:
    answer = await found(client, **TRIP)
    assert len(answer["trips"]) == answer["limit"] == 20
    assert (answer["partial"], answer["suppliers"], answer["problems"]) == (False, {"local": "ok"}, [])


async def test_trips_are_filtered_by_their_parts_and_their_price(client: httpx.AsyncClient) -> None:
    trips = await every(client, **TRIP)
    carrier = trips[0]["flight"]["carrier"]["code"]
    assert await every(client, **TRIP, carrier=carrier) == [
        trip for trip in trips if trip["flight"]["carrier"]["code"] == carrier
    ]
    assert await every(client, **TRIP, stars="4") == [trip for trip in trips if trip["hotel"]["stars"] >= 4]
    assert await every(client, **TRIP, max_distance="2") == [
        trip for trip in trips if trip["hotel"]["distance_km"] <= 2
    ]
    most = trips[len(trips) // 2]["price"]["amount"]
    assert await every(client, **TRIP, max_price=str(most)) == [
        trip for trip in trips if trip["price"]["amount"] <= most
    ]


async def test_a_day_without_flights_has_no_trips(client: httpx.AsyncClient) -> None:
    answer = await found(client, origin="HAM", destination="SAN", **STAY)
    assert (answer["trips"], answer["total"], answer["partial"]) == ([], 0, False)


async def test_a_cancelled_flight_is_no_trip(client: httpx.AsyncClient) -> None:
    day = {"origin": "LGA", "destination": "ORD", "date": "2013-02-08"}
    flights = (await found(client, "/flights", **day, sort="price", limit="100"))["flights"]
    stay = {"check_in": day["date"], "check_out": "2013-02-09", "guests": "1"}
    trips = await every(client, origin="LGA", destination="ORD", **stay)
    flying = [each["flight_number"] for each in flights if not each["cancelled"]]
    assert len(flying) < len(flights)
    assert {trip["flight"]["flight_number"] for trip in trips} == set(flying[:FLIGHTS])


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("origin", "XXX"),
        ("destination", "JFK"),
        ("destination", "LHR"),
        ("check_in", "2014-01-01"),
        ("check_out", "2013-07-01"),
        ("guests", "0"),
        ("stars", "0"),
        ("max_price", "much"),
        ("sort", "price"),
        ("limit", "0"),
        ("cursor", "broken"),
    ],
)
async def test_a_bad_parameter_is_refused(client: httpx.AsyncClient, parameter: str, value: str) -> None:
    response = await client.get("/trips", params=TRIP | {parameter: value})
    assert response.status_code == 422
    assert [(each["parameter"], each["value"]) for each in response.json()["errors"]] == [(parameter, value)]


async def test_the_cursor_of_another_search_is_refused(client: httpx.AsyncClient) -> None:
    cursor = (await found(client, **TRIP))["next_cursor"]
    response = await client.get("/trips", params=TRIP | {"guests": "3", "cursor": cursor})
    assert response.status_code == 422
    assert [each["parameter"] for each in response.json()["errors"]] == ["cursor"]


async def test_a_supplier_that_is_missing_makes_trips_partial_and_why_is_told(
    run_search: Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]],
    supplied: Callable[..., AbstractAsyncContextManager[str]],
) -> None:
    clock = asyncio.get_running_loop().time
    async with (
        supplied("silent", supplier_hang_rate=1, request_timeout=5) as silent,
        supplied("acme") as acme,
        run_search(suppliers=[silent, acme], search_deadline=2) as client,
    ):
        began = clock()
        answer = await found(client, **TRIP)
        assert clock() - began < 2
    names = [httpx.URL(url).netloc.decode() for url in (silent, acme)]
    assert answer["partial"]
    assert answer["suppliers"] == {"local": "ok", names[0]: "late", names[1]: "ok"}
    assert answer["problems"] == [
        {"part": part, "reason": "late", "detail": f"{names[0]} was too late"} for part in ("flights", "hotels")
    ]
    assert all(trip["flight"] and trip["hotel"] for trip in answer["trips"])


async def test_hotels_come_alone_where_flights_have_failed(
    run_search: Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]], breakable_database: Any
) -> None:
    async with run_search(database_url=breakable_database.url) as client:
        hotels = (await parts(client))[1]
        breakable_database.break_()
        pages = [await found(client, **TRIP, limit="7")]
        while cursor := pages[-1]["next_cursor"]:
            pages.append(await found(client, **TRIP, limit="7", cursor=cursor))
    trips = [trip for page in pages for trip in page["trips"]]
    assert [trip["hotel"] for trip in trips] == hotels
    assert {trip["flight"] for trip in trips} == {None}
    assert [trip["price"] for trip in trips] == [hotel["price"] for hotel in hotels]
    assert {page["partial"] for page in pages} == {True}
    assert pages[0]["problems"] == [{"part": "flights", "reason": "failed", "detail": "local failed"}]


class Silent:
    """Hotels that nobody hears of."""

    name = "local"

    async def offers(self, _: HotelSearch) -> list[HotelOffer]:
        await asyncio.Event().wait()
        return []


async def test_flights_come_alone_where_hotels_are_late(database_file: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{database_file}")
    flights = Market(kinds.FLIGHTS, [LocalFlights(database)], 30.0, lambda *_: None)
    hotels = Market(kinds.HOTELS, [Silent()], 0.5, lambda *_: None)
    stay = replace(SEARCH, max_price=700)
    page = await find_trips(Markets(flights, hotels), stay)
    await database.close()
    assert {trip.hotel for trip in page.trips} == {None}
    assert page.trips
    for trip in page.trips:
        assert trip.flight is not None
        assert trip.price.amount == round(2 * trip.flight.price.amount, 2) <= 700
    assert page.partial
    assert page.problems == [TripProblem("hotels", "late", "local was too late")]
