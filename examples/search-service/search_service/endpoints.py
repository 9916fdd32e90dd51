"""The searches over HTTP: a query read, the markets asked, the page written, and kept for whoever asks the same."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from search_service import cursor, flights, hotels, trips
from search_service.answers import Answer, Answers, Question
from search_service.kinds import FLIGHTS, HOTELS
from search_service.markets import Markets, markets_for
from search_service.offers import FlightPage, HotelPage, TripPage

TRIPS = TypeAdapter(TripPage)


class Page(Protocol):
    """What is found."""

    total: int
    partial: bool


P = TypeVar("P", bound=Page)


async def search_flights(request: Request) -> Response:
    """`GET /flights`: the day's scheduled flights, cancelled ones included, in pages."""
    search = flights.PARAMETERS.read(request.query_params, request.state)

    def find(markets: Markets) -> Awaitable[FlightPage]:
        return markets.flights.page(search)

    return await _given(request, "flights", cursor.key(search), find, FLIGHTS.answers)


async def search_hotels(request: Request) -> Response:
    """`GET /hotels`: the hotels of a city that have rooms for a stay, in pages."""
    search = hotels.PARAMETERS.read(request.query_params, request.state)

    def find(markets: Markets) -> Awaitable[HotelPage]:
        return markets.hotels.page(search)

    return await _given(request, "hotels", cursor.key(search), find, HOTELS.answers)


async def search_trips(request: Request) -> Response:
    """`GET /trips`: a flight and a hotel together, the cheapest first, in pages."""
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
