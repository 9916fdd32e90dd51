"""The days around one: what each costs at least on a route, and how punctual its flights are over the year.

For choosing a day: one query for all of them, of the service's own timetable alone. The timetable's key is in the
query's order, so that the days of a route lie together and are read in a few milliseconds.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Select, and_, bindparam, case, func, select

from search_service import tables
from search_service.database import Database
from search_service.source import FIRST_DAY, LAST_DAY

AROUND = 10
"""So many days before and after the chosen one, where the timetable has them."""


@dataclass(frozen=True, slots=True)
class DayOnRoute:
    """A route on one day.

    Attributes:
        flights: scheduled, cancelled ones included.
        cheapest: the lowest price of a flight that was not cancelled, in dollars; None where there is none.
        on_time_ratio: of all departures in the year of that day's flights, those at most 15 minutes late; None
            without flights.
    """

    date: date
    flights: int = 0
    cheapest: float | None = None
    on_time_ratio: float | None = None


def around(day: date) -> list[date]:
    """The days around one, as many for each: near the year's ends, more of them on the other side."""
    last = min(max(day + timedelta(days=AROUND), FIRST_DAY + timedelta(days=2 * AROUND)), LAST_DAY)
    return [last - timedelta(days=ago) for ago in range(2 * AROUND, -1, -1)]


class Days:
    """The days of a route, as the timetable has them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._query = database.prepare(_DAYS)

    async def find(self, origin: str, destination: str, day: date) -> list[DayOnRoute]:
        """The days around `day` from one airport to another, in their order, those without flights included.

        Raises:
            UnavailableError: the database does not answer.
        """
        wanted = around(day)
        asked = {"origin": origin, "destination": destination, "first": str(wanted[0]), "last": str(wanted[-1])}
        found = {row[0]: _day(*row) for row in await self._database.rows(self._query, asked)}
        return [found.get(str(each), DayOnRoute(each)) for each in wanted]


def _day(day: str, flights: int, cheapest: int | None, on_time: int, scheduled: int) -> DayOnRoute:
    least = None if cheapest is None else cheapest / 100
    return DayOnRoute(date.fromisoformat(day), flights, least, round(on_time / scheduled, 4))


def _days() -> Select[Any]:
    flight, punctuality = tables.flight.c, tables.punctuality.c
    same_flight = [flight[name] == punctuality[name] for name in ("carrier", "number", "origin", "destination")]
    return (
        select(
            flight.day,
            func.count(),
            func.min(case((flight.cancelled.is_(False), flight.price))),
            func.sum(punctuality.on_time),
            func.sum(punctuality.flights),
        )
        .join_from(tables.flight, tables.punctuality, and_(*same_flight))
        .where(
            flight.origin == bindparam("origin"),
            flight.destination == bindparam("destination"),
            flight.day.between(bindparam("first"), bindparam("last")),
        )
        .group_by(flight.day)
    )


_DAYS = _days()
