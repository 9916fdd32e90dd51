"""Flights: one day's scheduled departures between two airports."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema
from sqlalchemy import Select, and_, bindparam, select

from search_service import cursor, fares, tables
from search_service.cursor import CURSOR
from search_service.database import Database
from search_service.market import LOCAL
from search_service.offers import Carrier, FlightOffer, FlightPage, Price, Punctuality
from search_service.parameters import (
    AMOUNT,
    CARRIER,
    CLOCK,
    CODE,
    DEFAULT_LIMIT,
    Amount,
    CarrierCode,
    Clock,
    Code,
    Day,
    Limit,
    NotAllowedError,
    Parameters,
    one_of,
)
from search_service.schedule import local

STOPS = "a whole number, 0 or more; every flight is direct, so all of them have 0"
LONGEST_NUMBER = 9

Sort = Literal["departure", "price", "duration", "punctuality"]


class Position(NamedTuple):
    """A flight's place in a search's order; compares as the flights are sorted.

    Attributes:
        rank: by what the search is sorted by; less is better.
        departure: in seconds since 1970.
        carrier: its code.
    """

    rank: int
    departure: int
    carrier: str
    number: int


def other_than_origin(value: str, info: ValidationInfo) -> str:
    """A destination, which the `origin` read before it cannot be."""
    if value == info.data.get("origin"):
        raise NotAllowedError("is the origin", "an airport other than the origin")
    return value


def _not_before(value: Any, info: ValidationInfo) -> Any:
    earliest = info.data.get("depart_after")
    if earliest is not None and value < earliest:
        raise NotAllowedError("is before depart_after", "a time that is not before depart_after")
    return value


def _read_stops(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= LONGEST_NUMBER):
        raise NotAllowedError("is no number of stops", STOPS)
    return int(value)


Stops = Annotated[
    int,
    BeforeValidator(_read_stops),
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": 10**LONGEST_NUMBER - 1}),
]
After = Annotated[
    Position, BeforeValidator(cursor.reader(Position, lambda: FlightSearch)), WithJsonSchema({"type": "string"})
]


@dataclass(frozen=True, kw_only=True)
class FlightSearch:
    """Which flights are asked for, in which order, and from where on: the parameters of `GET /flights`.

    Attributes:
        depart_after: from then on, on the clock at the origin.
        depart_before: until then, that minute included.
        sort: the best first; flights that are as good go by departure, carrier and number.
        cursor: the last flight of the page before.
    """

    origin: Annotated[Code, Field(description=CODE)]
    destination: Annotated[Code, AfterValidator(other_than_origin), Field(description=CODE)]
    date: Day
    carrier: Annotated[CarrierCode | None, Field(description=CARRIER)] = None
    max_price: Annotated[Amount | None, Field(description=AMOUNT)] = None
    max_stops: Annotated[Stops | None, Field(description=STOPS)] = None
    depart_after: Annotated[Clock | None, Field(description=CLOCK)] = None
    depart_before: Annotated[Clock | None, AfterValidator(_not_before), Field(description=CLOCK)] = None
    sort: Annotated[Sort, Field(description=f"{one_of(get_args(Sort))}, the best first")] = "departure"
    limit: Limit = DEFAULT_LIMIT
    cursor: Annotated[After | None, Field(description=CURSOR)] = None

    def __str__(self) -> str:
        """The search in a word, whatever the page."""
        asked = [f"{name}={value}" for name in _FILTERS if (value := getattr(self, name)) is not None]
        return "&".join([f"{self.origin}-{self.destination}-{self.date}", *asked, self.sort])


_FILTERS = "carrier", "max_price", "max_stops", "depart_after", "depart_before"

PARAMETERS = Parameters(FlightSearch)

RANKS: dict[Sort, Callable[[FlightOffer], int]] = {
    "departure": lambda _: 0,
    "price": lambda each: round(each.price.amount * 100),
    "duration": attrgetter("duration_minutes"),
    "punctuality": lambda each: -round(each.punctuality.on_time_ratio * 10_000),
}


class LocalFlights:
    """The flights of the timetable."""

    name = LOCAL

    def __init__(self, database: Database) -> None:
        self._database = database
        self._query = database.prepare(_FLIGHTS_OF_DAY)

    async def offers(self, search: FlightSearch) -> list[FlightOffer]:
        """All flights that the search finds, on whatever page, in its order.

        Raises:
            UnavailableError: the database does not answer.
        """
        asked = {"origin": search.origin, "destination": search.destination, "day": search.date.isoformat()}
        rows = await self._database.rows(self._query, asked)
        return selected(search, [_offer(search, row) for row in rows])


def selected(search: FlightSearch, offers: Iterable[FlightOffer]) -> list[FlightOffer]:
    """Those of a day's flights between two airports that the search finds, in its order."""
    return sorted((each for each in offers if _wanted(search, each)), key=position(search.sort))


def _wanted(search: FlightSearch, each: FlightOffer) -> bool:
    clock = each.departure.time()
    return (
        (search.carrier is None or each.carrier.code == search.carrier)
        and (search.max_price is None or each.price.amount <= search.max_price)
        and (search.depart_after is None or clock >= search.depart_after)
        and (search.depart_before is None or clock <= search.depart_before)
    )


def position(sort: Sort) -> Callable[[FlightOffer], Position]:
    """What says where a flight stands in an order."""
    rank = RANKS[sort]
    return lambda each: Position(rank(each), int(each.departure.timestamp()), each.carrier.code, each.number)


def page(search: FlightSearch, offers: Sequence[FlightOffer]) -> FlightPage:
    """Of what a search finds, in its order, the flights behind its cursor, as many as fit."""
    shown, next_cursor = cursor.cut(search, offers, position(search.sort))
    return FlightPage(flights=shown, total=len(offers), limit=search.limit, next_cursor=next_cursor)


def _offer(search: FlightSearch, row: Sequence[Any]) -> FlightOffer:
    departure, offset, arrival, arrival_offset, code, name, number, aircraft, cancelled, on_time, flights, price = row
    return FlightOffer(
        carrier=Carrier(code, name),
        flight_number=f"{code}{number}",
        origin=search.origin,
        destination=search.destination,
        departure=local(departure, offset),
        arrival=local(arrival, arrival_offset),
        duration_minutes=(arrival - departure) // 60,
        aircraft=aircraft,
        cancelled=bool(cancelled),
        punctuality=Punctuality(round(on_time / flights, 4), flights),
        price=Price(price / 100, fares.CURRENCY, synthetic=True),
    )


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
            flight.price,
        )
        .join_from(tables.flight, tables.carrier, flight.carrier == carrier.code)
        .join(tables.punctuality, and_(*same_flight))
        .where(*(flight[name] == bindparam(name) for name in ("origin", "destination", "day")))
    )


_FLIGHTS_OF_DAY = _flights_of_day()
