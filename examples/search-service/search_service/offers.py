"""What a search answers: the types that are written as JSON, read from suppliers, and described in `/openapi.json`."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

Outcome = Literal["ok", "late", "failed", "open"]
"""How a supplier did: answered, past the deadline, in error, or not asked as its circuit breaker is open."""


@dataclass(slots=True)
class Carrier:
    """An airline."""

    code: Annotated[str, Field(description="of IATA, two characters", examples=["AA"])]
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

    amount: Annotated[float, Field(ge=0, description="in whole cents", examples=[214.0])]
    currency: Annotated[str, Field(description="of ISO 4217", examples=["USD"])]
    synthetic: Annotated[bool, Field(description="whether it comes from a stated rule, and from no record")]


@dataclass(slots=True)
class FlightOffer:
    """A scheduled flight, on one day, and its price."""

    carrier: Carrier
    flight_number: Annotated[str, Field(description="the carrier's code and the number", examples=["AA133"])]
    origin: Annotated[str, Field(description="the IATA code of the airport", examples=["JFK"])]
    destination: Annotated[str, Field(description="the IATA code of the airport", examples=["LAX"])]
    departure: Annotated[datetime, Field(description="scheduled, on the clock at the origin")]
    arrival: Annotated[datetime, Field(description="scheduled, on the clock at the destination")]
    duration_minutes: Annotated[int, Field(ge=0)]
    aircraft: Annotated[str | None, Field(description="the model; null where the record does not tell")]
    cancelled: Annotated[bool, Field(description="whether it never left")]
    punctuality: Punctuality
    price: Price

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
