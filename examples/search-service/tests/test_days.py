"""The days around one, on either database."""

from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import date, timedelta

import httpx
import pytest
from search_service.database import Database
from search_service.days import AROUND, Days, around
from search_service.source import FIRST_DAY, LAST_DAY, read_flights

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("day", "first"),
    [
        (date(2013, 7, 4), date(2013, 6, 24)),
        (FIRST_DAY, FIRST_DAY),
        (date(2013, 1, 5), FIRST_DAY),
        (LAST_DAY, date(2013, 12, 11)),
    ],
)
def test_as_many_days_are_around_each_and_all_are_in_the_timetable(day: date, first: date) -> None:
    days = around(day)
    assert days == [first + timedelta(days=at) for at in range(2 * AROUND + 1)]
    assert day in days


async def test_the_cheapest_of_each_day_is_what_a_search_by_price_finds(client: httpx.AsyncClient, days: Days) -> None:
    for each in (await days.find("JFK", "BUR", date(2013, 7, 4)))[5:15]:
        query = {"origin": "JFK", "destination": "BUR", "date": str(each.date), "sort": "price", "limit": "100"}
        flights = (await client.get("/flights", params=query)).json()["flights"]
        prices = [flight["price"]["amount"] for flight in flights if not flight["cancelled"]]
        assert (each.flights, each.cheapest) == (len(flights), min(prices, default=None))


async def test_the_punctuality_is_that_of_the_record(days: Days) -> None:
    routes: dict[str, list[bool]] = defaultdict(list)
    flown: dict[date, set[str]] = defaultdict(set)
    for each in read_flights():
        if (each.origin, each.dest) == ("JFK", "BUR"):
            number = f"{each.carrier}{each.flight}"
            routes[number].append(each.on_time)
            flown[date(int(each.year), int(each.month), int(each.day))].add(number)
    for day in await days.find("JFK", "BUR", date(2013, 7, 4)):
        on_time = [late for number in flown[day.date] for late in routes[number]]
        assert day.on_time_ratio == (round(sum(on_time) / len(on_time), 4) if on_time else None)


async def test_a_route_without_flights_has_days_without_prices(days: Days) -> None:
    found = await days.find("LAX", "JFK", date(2013, 7, 4))
    assert {(each.flights, each.cheapest, each.on_time_ratio) for each in found} == {(0, None, None)}


@pytest.fixture
async def days(either_url: str) -> AsyncIterator[Days]:
    database = Database(either_url.replace("postgresql:", "postgresql+asyncpg:"))
    try:
        yield Days(database)
    finally:
        await database.close()
