"""Trips: a flight on the day of arrival, and a hotel at its destination, together.

Flights and hotels are searched at once, each by its own market and so under the same deadline. Where there is no
answer for one of them, the other is answered alone, and why is said.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from search_service import cursor
from search_service.cursor import CURSOR
from search_service.fares import CURRENCY
from search_service.flights import FlightSearch, other_than_origin
from search_service.hotels import CITY, DISTANCE, STARS, CheckOut, Distance, Guests, HotelSearch, Stars, with_hotels
from search_service.market import SEVERITY, Found, Market, NoAnswerError, O, P, S, told, worst
from search_service.markets import Markets
from search_service.offers import FlightOffer, HotelOffer, Part, Price, Trip, TripPage, TripProblem
from search_service.parameters import (
    AMOUNT,
    CARRIER,
    CODE,
    DEFAULT_LIMIT,
    Amount,
    CarrierCode,
    Code,
    Day,
    Limit,
    Parameters,
)

FLIGHTS = 20
"""The cheapest flights that are combined …"""

HOTELS = 50
"""… each with the cheapest hotels."""

NONE = "-"
"""What stands for a flight or a hotel that is missing."""


class Position(NamedTuple):
    """A trip's place in a search's order; compares as the trips are sorted.

    Attributes:
        price: of all of it, in cents.
        flight: carrier and number.
        hotel: its id.
    """

    price: int
    flight: str
    hotel: str


After = Annotated[
    Position, BeforeValidator(cursor.reader(Position, lambda: TripSearch)), WithJsonSchema({"type": "string"})
]


@dataclass(frozen=True, kw_only=True)
class TripSearch:
    """Which trips are asked for, and from where on: the parameters of `GET /trips`. The cheapest go first.

    Attributes:
        check_in: the day of the flight, too.
        max_price: of the trip, for all guests.
        cursor: the last trip of the page before.
    """

    origin: Annotated[Code, Field(description=CODE)]
    destination: Annotated[
        Code, AfterValidator(other_than_origin), AfterValidator(with_hotels), Field(description=CITY)
    ]
    check_in: Day
    check_out: CheckOut
    guests: Guests
    carrier: Annotated[CarrierCode | None, Field(description=CARRIER)] = None
    stars: Annotated[Stars | None, Field(description=STARS)] = None
    max_price: Annotated[Amount | None, Field(description=AMOUNT)] = None
    max_distance: Annotated[Distance | None, Field(description=DISTANCE)] = None
    limit: Limit = DEFAULT_LIMIT
    cursor: Annotated[After | None, Field(description=CURSOR)] = None

    def __str__(self) -> str:
        """The search in a word, whatever the page."""
        asked = [f"{name}={value}" for name in _FILTERS if (value := getattr(self, name)) is not None]
        stay = f"{self.origin}-{self.destination}-{self.check_in}-{self.check_out}-{self.guests}"
        return "&".join([stay, *asked])

    @property
    def flights(self) -> FlightSearch:
        """The search for its flights, the cheapest first."""
        return FlightSearch(
            origin=self.origin, destination=self.destination, date=self.check_in, carrier=self.carrier, sort="price"
        )

    @property
    def hotels(self) -> HotelSearch:
        """The search for its hotels, the cheapest first."""
        return HotelSearch(
            city=self.destination,
            check_in=self.check_in,
            check_out=self.check_out,
            guests=self.guests,
            stars=self.stars,
            max_distance=self.max_distance,
        )


_FILTERS = "carrier", "stars", "max_price", "max_distance"

PARAMETERS = Parameters(TripSearch)


async def find_trips(markets: Markets, search: TripSearch) -> TripPage:
    """The page that the search asks for.

    Raises:
        NoAnswerError: there are neither flights nor hotels.
    """
    flights, hotels = await asyncio.gather(
        _found(markets.flights, search.flights), _found(markets.hotels, search.hotels)
    )
    outcomes = worst(flights.outcomes, hotels.outcomes)
    if isinstance(flights, NoAnswerError) and isinstance(hotels, NoAnswerError):
        raise NoAnswerError(outcomes)
    page = _page(search, _trips(search, flights, hotels))
    page.problems = [*_problems("flights", flights), *_problems("hotels", hotels)]
    page.partial, page.suppliers = bool(page.problems), outcomes
    return page


async def _found(market: Market[S, O, P], search: S) -> Found[O] | NoAnswerError:
    try:
        return await market.find(search)
    except NoAnswerError as error:
        return error


def _trips(
    search: TripSearch, flights: Found[FlightOffer] | NoAnswerError, hotels: Found[HotelOffer] | NoAnswerError
) -> list[Trip]:
    """All combinations that are within the price, in their order."""
    flown = [None] if isinstance(flights, NoAnswerError) else [each for each in flights.offers if not each.cancelled]
    stayed = [None] if isinstance(hotels, NoAnswerError) else hotels.offers
    trips = [_trip(search, *each) for each in product(flown[:FLIGHTS], stayed[:HOTELS])]
    return sorted((each for each in trips if _affordable(search, each)), key=_position)


def _trip(search: TripSearch, flight: FlightOffer | None, hotel: HotelOffer | None) -> Trip:
    seats = flight.price.amount * search.guests if flight else 0.0
    stay = hotel.price.amount if hotel else 0.0
    return Trip(flight, hotel, Price(round(seats + stay, 2), CURRENCY, synthetic=True))


def _affordable(search: TripSearch, trip: Trip) -> bool:
    return search.max_price is None or trip.price.amount <= search.max_price


def _position(trip: Trip) -> Position:
    flight = trip.flight.flight_number if trip.flight else NONE
    return Position(round(trip.price.amount * 100), flight, trip.hotel.id if trip.hotel else NONE)


def _page(search: TripSearch, trips: Sequence[Trip]) -> TripPage:
    shown, next_cursor = cursor.cut(search, trips, _position)
    return TripPage(trips=shown, total=len(trips), limit=search.limit, next_cursor=next_cursor)


def _problems(part: Part, found: Found[O] | NoAnswerError) -> Iterator[TripProblem]:
    missing = {name: outcome for name, outcome in found.outcomes.items() if outcome != "ok"}
    if missing:
        yield TripProblem(part, max(missing.values(), key=SEVERITY.index), told(missing))
