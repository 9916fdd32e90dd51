"""Airports: which there are, and finding them by what people remember of them."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import chain, islice
from typing import Annotated

from pydantic import BeforeValidator, Field, TypeAdapter, WithJsonSchema
from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response

from lmservice import operation
from search_service import tables
from search_service.database import Database
from search_service.lodging import Place
from search_service.parameters import CODE, DEFAULT_LIMIT, Limit, NotAllowedError, Parameters
from search_service.problems import PROBLEMS
from search_service.words import WordIndex, plain

LONGEST_QUERY = 100
"""Characters that may be searched for."""


@dataclass(slots=True)
class Airport:
    """An airport; not frozen, as thousands are made at each start, and that would take four times as long.

    Attributes:
        code: of IATA in 2013, three letters.
        city: as the subdivision and the country, empty where it is not known.
        subdivision: the state or the like that it lies in.
        country: two letters of ISO 3166-1.
        time_zone: its name in the tz database.
        served: whether the timetable has flights from or to it.
    """

    code: str
    name: str
    city: str
    subdivision: str
    country: str
    time_zone: str
    served: bool


class Airports:
    """The world's airports: those that the timetable serves go first, then by city and code."""

    def __init__(self, airports: Sequence[Airport]) -> None:
        cities = {each.code: plain(each.city) for each in airports}
        ordered = sorted(airports, key=lambda each: (not each.served, cities[each.code], each.code))
        self._codes = frozenset(cities)
        self.served = frozenset(each.code for each in ordered if each.served)
        self._by_prefix: dict[str, list[Airport]] = {}
        for each in ordered:
            for length in range(1, len(each.code) + 1):
                self._by_prefix.setdefault(each.code[:length].lower(), []).append(each)
        self._by_words = [
            WordIndex((each, (cities[each.code], plain(each.name))) for each in ordered if each.served is served)
            for served in (True, False)
        ]

    def read_code(self, value: str) -> str:
        """The IATA code that a client gave, in whatever case.

        Raises:
            NotAllowedError: no airport has it.
        """
        code = value.upper() if value.isascii() else value
        if code not in self._codes:
            raise NotAllowedError("is no airport", CODE)
        return code

    def find(self, query: str, limit: int) -> list[Airport]:
        """The first `limit` airports with a code, or a word of their city or name, that begins with `query`.

        Codes go first, then what the timetable serves, then cities before names.
        """
        wanted = plain(query)
        return list(islice(self._matches(wanted), limit)) if wanted else []

    def _matches(self, wanted: str) -> Iterator[Airport]:
        seen: set[str] = set()
        for airport in chain(self._by_prefix.get(wanted, ()), *(index.find(wanted) for index in self._by_words)):
            if airport.code not in seen:
                seen.add(airport.code)
                yield airport


QUERY = f"1 to {LONGEST_QUERY} characters of an airport's code, city or name"


async def load(database: Database) -> Airports:
    """Reads the airports that came with the timetable."""
    query = select(*(tables.airport.c[field.name] for field in fields(Airport)))
    async with database.engine.connect() as connection:
        rows = await connection.execute(query)
    return await asyncio.to_thread(Airports, [Airport(*row) for row in rows])


async def places(database: Database) -> dict[str, Place]:
    """Where the airports lie that the timetable serves, by their codes."""
    table = tables.airport.c
    query = select(table.code, table.latitude, table.longitude).where(table.served)
    async with database.engine.connect() as connection:
        return {code: Place(*place) for code, *place in await connection.execute(query)}


def _read_query(value: str) -> str:
    if not value.strip() or len(value) > LONGEST_QUERY:
        raise NotAllowedError("is nothing to search for", QUERY)
    return value


@dataclass(frozen=True, kw_only=True)
class AirportSearch:
    """Which airports are asked for: the parameters of `GET /airports`."""

    q: Annotated[
        str,
        BeforeValidator(_read_query),
        WithJsonSchema({"type": "string", "minLength": 1, "maxLength": LONGEST_QUERY}),
        Field(description=QUERY),
    ]
    limit: Limit = DEFAULT_LIMIT


@dataclass(slots=True)
class AirportPage:
    """The first airports that a search finds."""

    airports: list[Airport]
    limit: Annotated[int, Field(ge=1, description="the most that a page holds")]


PARAMETERS = Parameters(AirportSearch)
PAGE = TypeAdapter(AirportPage)


@operation(query=AirportSearch, answer=PAGE, problems=PROBLEMS, example={"q": "san fran"})
async def search_airports(request: Request) -> Response:
    """Find airports by code, city or name."""
    airports: Airports = request.state.airports
    search = PARAMETERS.read(request.query_params, request.state)
    found = AirportPage(airports.find(search.q, search.limit), search.limit)
    return Response(PAGE.dump_json(found), media_type="application/json")
