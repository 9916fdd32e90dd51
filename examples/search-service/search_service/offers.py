"""What a search answers: the types that are written as JSON, read from suppliers, and described in `/openapi.json`."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

Outcome = Literal["ok", "late", "failed", "open"]
"""How a supplier did: answered, past the deadline, in error, or not asked as its circuit breaker is open."""


MOST = 100_000_000
"""Past this a price is a mistake."""


@dataclass(slots=True)
class Carrier:
    """An airline."""

    code: Annotated[str, Field(description="of IATA, two characters", pattern="^[A-Z0-9]{2}$", examples=["AA"])]
    name: str


@dataclass(slots=True)
class Punctuality:
    """How often the same flight was on time in the year."""

    on_time_ratio: Annotated[
        float, Field(ge=0, le=1, description="departures at most 15 minutes late, of all scheduled")
    ]
    flights: Annotated[int, Field(ge=1, description="all scheduled in the year, cancelled ones included")]


@dataclass(slots=True)
class Price:
    """What it costs."""

    amount: Annotated[float, Field(ge=0, le=MOST, description="in whole cents", examples=[214.0])]
    currency: Annotated[str, Field(description="of ISO 4217", examples=["USD"])]
    synthetic: Annotated[bool, Field(description="whether it comes from a stated rule, and from no record")]


@dataclass(slots=True)
class FlightOffer:
    """A scheduled flight, on one day, and its price."""

    carrier: Carrier
    flight_number: Annotated[
        str,
        Field(description="the carrier's code and the number", pattern="^[A-Z0-9]{2}[0-9]{1,4}$", examples=["AA133"]),
    ]
    origin: Annotated[str, Field(description="the IATA code of the airport", examples=["JFK"])]
    destination: Annotated[str, Field(description="the IATA code of the airport", examples=["LAX"])]
    departure: Annotated[AwareDatetime, Field(description="scheduled, on the clock at the origin")]
    arrival: Annotated[AwareDatetime, Field(description="scheduled, on the clock at the destination")]
    duration_minutes: Annotated[int, Field(ge=0, le=100_000)]
    aircraft: Annotated[str | None, Field(description="the model; null where the record does not tell")]
    cancelled: Annotated[bool, Field(description="whether it never left")]
    punctuality: Punctuality
    price: Price
    supplier: Annotated[str, Field(description="whose offer it is: local, or a supplier's name")] = "local"

    @property
    def number(self) -> int:
        """The number without the carrier."""
        return int(self.flight_number[len(self.carrier.code) :])


@dataclass(slots=True)
class FlightPage:
    """Some of a day's flights between two airports."""

    flights: list[FlightOffer]
    total: Annotated[int, Field(ge=0, description="flights that the search finds, on all pages together")]
    limit: Annotated[int, Field(ge=1, description="the most that a page holds")]
    next_cursor: Annotated[str | None, Field(description="for the next page; null on the last")]
    partial: Annotated[bool, Field(description="whether a supplier's flights may be missing")] = False
    suppliers: Annotated[
        dict[str, Outcome], Field(description="how each supplier did, by its name", examples=[{"north": "ok"}])
    ] = field(default_factory=dict)


@dataclass(slots=True)
class Night:
    """One night of a stay."""

    date: Annotated[dt.date, Field(description="on which the night begins")]
    price: Annotated[float, Field(ge=0, le=MOST, description="of one room, in the currency of the stay")]
    available: Annotated[int, Field(ge=0, description="rooms that are free")]


@dataclass(slots=True)
class HotelOffer:
    """A stay in a hotel, and its price."""

    id: Annotated[
        str,
        Field(
            description="of the hotel, the same for each stay",
            pattern="^[a-z0-9-]{1,100}$",
            examples=["san-birch-lodge"],
        ),
    ]
    name: Annotated[str, Field(examples=["Birch Lodge"])]
    city: Annotated[str, Field(description="the IATA code of the airport that it lies around", examples=["SAN"])]
    stars: Annotated[int, Field(ge=1, le=5)]
    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]
    distance_km: Annotated[
        float, Field(ge=0, le=20_040, description="to the centre, the airport's coordinates, in kilometres")
    ]
    check_in: dt.date
    check_out: dt.date
    guests: Annotated[int, Field(ge=1)]
    rooms: Annotated[int, Field(ge=1, description="that so many guests need")]
    nights: Annotated[list[Night], Field(min_length=1, description="each with its price and what is free")]
    price: Annotated[Price, Field(description="of the stay, all rooms and nights")]
    price_per_night: Annotated[Price, Field(description="of all rooms, on average")]
    synthetic: Annotated[bool, Field(description="whether the hotel is generated, and is in no record")]
    supplier: Annotated[str, Field(description="whose offer it is: local, or a supplier's name")] = "local"


@dataclass(slots=True)
class HotelPage:
    """Some of the hotels of a city that have rooms for a stay."""

    hotels: list[HotelOffer]
    total: Annotated[int, Field(ge=0, description="hotels that the search finds, on all pages together")]
    limit: Annotated[int, Field(ge=1, description="the most that a page holds")]
    next_cursor: Annotated[str | None, Field(description="for the next page; null on the last")]
    partial: Annotated[bool, Field(description="whether an inventory's hotels may be missing")] = False
    suppliers: Annotated[
        dict[str, Outcome], Field(description="how each inventory did, by its name", examples=[{"local": "ok"}])
    ] = field(default_factory=dict)


Part = Literal["flights", "hotels"]


@dataclass(slots=True)
class Trip:
    """A flight and a hotel together; one of them alone where there was no answer for the other."""

    flight: FlightOffer | None
    hotel: HotelOffer | None
    price: Annotated[Price, Field(description="for all guests: a seat for each, and the stay")]


@dataclass(slots=True)
class TripProblem:
    """Why a part of trips is missing, or may be incomplete."""

    part: Part
    reason: Annotated[Outcome, Field(description="the worst that happened")]
    detail: Annotated[str, Field(description="which inventories are missing, in words")]


@dataclass(slots=True)
class TripPage:
    """Some of the trips that a search finds."""

    trips: list[Trip]
    total: Annotated[int, Field(ge=0, description="trips that the search finds, on all pages together")]
    limit: Annotated[int, Field(ge=1, description="the most that a page holds")]
    next_cursor: Annotated[str | None, Field(description="for the next page; null on the last")]
    partial: Annotated[bool, Field(description="whether something may be missing")] = False
    suppliers: Annotated[
        dict[str, Outcome], Field(description="how each inventory did, by its name", examples=[{"local": "ok"}])
    ] = field(default_factory=dict)
    problems: Annotated[list[TripProblem], Field(description="why it is partial")] = field(default_factory=list)
