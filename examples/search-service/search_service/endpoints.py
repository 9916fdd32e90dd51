"""The searches over HTTP: a query read, the markets asked, the page written, and kept for whoever asks the same."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from lmservice import operation
from search_service import cursor, flights, hotels, trips
from search_service.answers import Answer, Answers, Question
from search_service.kinds import FLIGHTS, HOTELS
from search_service.markets import Markets, markets_for
from search_service.offers import FlightPage, HotelPage, TripPage
from search_service.problems import PROBLEMS

TRIPS = TypeAdapter(TripPage)

STAY = {"check_in": "2013-07-04", "check_out": "2013-07-07", "guests": "2"}
FLIGHT = {"origin": "JFK", "destination": "LAX", "date": "2013-07-04", "sort": "price"}


class Page(Protocol):
    """What is found."""

    total: int
    partial: bool


P = TypeVar("P", bound=Page)


@operation(query=flights.FlightSearch, answer=FLIGHTS.answers, problems=PROBLEMS, example=FLIGHT)
async def search_flights(request: Request) -> Response:
    """Find the day's scheduled flights, cancelled ones included, in pages."""
    search = flights.PARAMETERS.read(request.query_params, request.state)

    def find(markets: Markets) -> Awaitable[FlightPage]:
        return markets.flights.page(search)

    return await _given(request, "flights", cursor.key(search), find, FLIGHTS.answers)


@operation(
    query=hotels.HotelSearch,
    answer=HOTELS.answers,
    problems=PROBLEMS,
    example={"city": "SAN", **STAY, "sort": "distance"},
)
async def search_hotels(request: Request) -> Response:
    """Find the hotels of a city that have rooms for a stay, in pages."""
    search = hotels.PARAMETERS.read(request.query_params, request.state)

    def find(markets: Markets) -> Awaitable[HotelPage]:
        return markets.hotels.page(search)

    return await _given(request, "hotels", cursor.key(search), find, HOTELS.answers)


@operation(
    query=trips.TripSearch,
    answer=TRIPS,
    problems=PROBLEMS,
    example={"origin": "JFK", "destination": "SAN", **STAY},
)
async def search_trips(request: Request) -> Response:
    """Find a flight and a hotel together, the cheapest first, in pages."""
    search = trips.PARAMETERS.read(request.query_params, request.state)

    def find(markets: Markets) -> Awaitable[TripPage]:
        return trips.find_trips(markets, search)

    return await _given(request, "trips", cursor.key(search), find, TRIPS)


async def _given(
    request: Request, kind: str, key: str, find: Callable[[Markets], Awaitable[P]], written: TypeAdapter[P]
) -> Response:
    answers: Answers = request.state.answers
    markets = markets_for(request)

    async def found() -> Answer:
        page = await find(markets)
        return Answer(written.dump_json(page), page.total, lasting=not page.partial)

    return await answers.give(Question(kind, f"{markets.scope}:{key}"), found)
