"""Flights: one day's scheduled departures between two airports."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic_core import to_json
from sqlalchemy import CursorResult, Row, Select, and_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request
from starlette.responses import Response

from search_service import cursor, tables
from search_service.airports import CODE, Airports
from search_service.cursor import CursorError, Position
from search_service.parameters import DEFAULT_LIMIT, NotAllowedError, Parameters, read_limit
from search_service.problems import InvalidParametersError
from search_service.schedule import spelled
from search_service.timetable import Timetable

CURSOR = "the next_cursor of a page of the same search"
PARAMETERS = ("origin", "destination", "date", "limit", "cursor")


@dataclass(frozen=True)
class Search:
    """Whose flights are asked for, and from where on."""

    origin: str
    destination: str
    day: date
    limit: int
    after: Position | None

    def __str__(self) -> str:
        return f"{self.origin}-{self.destination}-{self.day}"


async def search_flights(request: Request) -> Response:
    """`GET /flights`: the day's scheduled flights, cancelled ones included, in pages."""
    parameters = Parameters(request.query_params, PARAMETERS)
    search = read_search(parameters, request.state.airports, request.state.timetable)
    flights = await flights_of_day(request.state.database, search)
    return Response(to_json(page(search, flights)), media_type="application/json")


def read_search(parameters: Parameters, airports: Airports, timetable: Timetable) -> Search:
    """What a client asks for.

    Raises:
        InvalidParametersError: with everything that is wrong with it.
    """
    origin = parameters.required("origin", airports.read_code, CODE)
    destination = parameters.required("destination", airports.read_code, CODE)
    day = parameters.required("date", timetable.read_day, timetable.days)
    limit = parameters.optional("limit", read_limit, DEFAULT_LIMIT)
    mark = parameters.optional("cursor", _read_cursor, None)
    if origin is not None and origin == destination:
        parameters.refuse("destination", NotAllowedError("is the origin", "an airport other than the origin"))
    if origin is None or destination is None or day is None:
        raise InvalidParametersError(parameters.problems)
    search = Search(origin, destination, day, limit, mark and mark[1])
    if mark and mark[0] != str(search):
        parameters.refuse("cursor", NotAllowedError("belongs to another search", CURSOR))
    if parameters.problems:
        raise InvalidParametersError(parameters.problems)
    return search


def _read_cursor(value: str) -> tuple[str, Position]:
    try:
        return cursor.decode(value)
    except CursorError:
        raise NotAllowedError("is no cursor", CURSOR) from None


async def flights_of_day(engine: AsyncEngine, search: Search) -> Sequence[Row[Any]]:
    """All flights of the day in their order, of which a page shows some: between two airports there are few."""
    asked = {"origin": search.origin, "destination": search.destination, "day": search.day.isoformat()}
    async with engine.connect() as connection:
        result: CursorResult[Any] = await connection.execute(_FLIGHTS_OF_DAY, asked)
    return result.all()


def page(search: Search, flights: Sequence[Row[Any]]) -> dict[str, Any]:
    """The flights behind the cursor, as many as fit, as the client gets them."""
    start = 0 if search.after is None else bisect_right(flights, search.after, key=_position)
    shown = flights[start : start + search.limit]
    complete = start + len(shown) == len(flights)
    return {
        "flights": [_presented(search, each) for each in shown],
        "total": len(flights),
        "limit": search.limit,
        "next_cursor": None if complete else cursor.encode(str(search), _position(shown[-1])),
    }


def _position(each: Row[Any]) -> Position:
    return Position(each.departure, each.carrier, each.number)


def _presented(search: Search, each: Row[Any]) -> dict[str, Any]:
    return {
        "carrier": {"code": each.carrier, "name": each.carrier_name},
        "flight_number": f"{each.carrier}{each.number}",
        "origin": search.origin,
        "destination": search.destination,
        "departure": spelled(each.departure, each.departure_offset),
        "arrival": spelled(each.arrival, each.arrival_offset),
        "duration_minutes": (each.arrival - each.departure) // 60,
        "aircraft": each.aircraft,
        "cancelled": each.cancelled,
        "punctuality": {"on_time_ratio": round(each.on_time / each.flights, 4), "flights": each.flights},
    }


def _flights_of_day() -> Select[Any]:
    flight, carrier, punctuality = tables.flight.c, tables.carrier.c, tables.punctuality.c
    same_flight = [flight[name] == punctuality[name] for name in ("carrier", "number", "origin", "destination")]
    return (
        select(
            flight.departure,
            flight.departure_offset,
            flight.arrival,
            flight.arrival_offset,
            flight.carrier,
            carrier.name.label("carrier_name"),
            flight.number,
            flight.aircraft,
            flight.cancelled,
            punctuality.on_time,
            punctuality.flights,
        )
        .join_from(tables.flight, tables.carrier, flight.carrier == carrier.code)
        .join(tables.punctuality, and_(*same_flight))
        .where(*(flight[name] == bindparam(name) for name in ("origin", "destination", "day")))
        .order_by(flight.departure, flight.carrier, flight.number)
    )


_FLIGHTS_OF_DAY = _flights_of_day()
