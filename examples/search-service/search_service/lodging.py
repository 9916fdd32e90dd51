"""The hotels there are: a generated inventory around every airport that the timetable serves.

There is no free record of hotels as there is of flights, so these are made up, and whatever tells of them says so.
What is real is where they are: they lie around the coordinates of the airport. Rooms and their prices are worked out
night by night when somebody asks, from the hotel and the day alone, so nothing is stored.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from math import asin, cos, degrees, pi, radians, sin, sqrt
from typing import NamedTuple

from search_service.chance import Chance, share
from search_service.names import names
from search_service.words import plain

HOTELS = (24, 48)
"""The fewest and the most hotels around an airport."""

FARTHEST = 18.0
"""How far from the airport a hotel may be, in kilometres."""

EARTH = 6371.0
"""The radius of the Earth, in kilometres."""

_STARS = (1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 5)
_SLEEPS = (2, 2, 2, 3, 4)
_ROOMS = {1: (12, 40), 2: (16, 70), 3: (40, 180), 4: (60, 260), 5: (40, 220)}
_NIGHT = {1: (38, 60), 2: (58, 95), 3: (88, 150), 4: (140, 240), 5: (260, 480)}
"""What a night costs in an ordinary week of spring, in dollars, by stars."""
_SEASON = (0.80, 0.84, 0.94, 1.00, 1.04, 1.14, 1.22, 1.20, 1.04, 1.02, 0.92, 1.06)
"""By month, from January."""
_WEEKDAY = (0.96, 0.96, 0.98, 1.00, 1.16, 1.20, 0.94)
"""By the day on which the night begins, from Monday."""


class Place(NamedTuple):
    """A point on the Earth, in degrees."""

    latitude: float
    longitude: float

    def distance(self, other: "Place") -> float:
        """The way to `other` along the great circle, in kilometres (the haversine formula)."""
        north, east = radians(other.latitude - self.latitude), radians(other.longitude - self.longitude)
        across = cos(radians(self.latitude)) * cos(radians(other.latitude)) * sin(east / 2) ** 2
        return 2 * EARTH * asin(sqrt(sin(north / 2) ** 2 + across))

    def toward(self, bearing: float, kilometres: float) -> "Place":
        """The place so far away in the direction of `bearing`, in radians from north; exact enough within a town."""
        north, east = cos(bearing) * kilometres / EARTH, sin(bearing) * kilometres / EARTH
        return Place(self.latitude + degrees(north), self.longitude + degrees(east / cos(radians(self.latitude))))


class Night(NamedTuple):
    """One night in one room.

    Attributes:
        day: on which the night begins.
        price: of one room, in whole dollars.
        available: rooms that are free.
    """

    day: date
    price: int
    available: int


@dataclass(frozen=True, slots=True)
class Building:
    """A hotel, whatever the night.

    Attributes:
        id: the airport and the name, in small letters.
        city: the IATA code of the airport that it lies around.
        stars: 1 to 5.
        place: where it is, to some ten metres.
        distance: to the centre, in kilometres.
        rooms: how many it has.
        sleeps: how many people one room takes.
        rate: what an ordinary night costs, in dollars.
    """

    id: str
    name: str
    city: str
    stars: int
    place: Place
    distance: float
    rooms: int
    sleeps: int
    rate: float

    def nights(self, check_in: date, count: int) -> list[Night]:
        """The nights of a stay."""
        return [self._night(check_in + timedelta(days=at)) for at in range(count)]

    def _night(self, day: date) -> Night:
        season = _SEASON[day.month - 1]
        price = self.rate * season * _WEEKDAY[day.weekday()] * (0.94 + 0.12 * share(self.id, day, "price"))
        taken = (0.35 + 0.58 * share(self.id, day, "rooms")) * min(1.1, season)
        return Night(day, round(price), max(0, round(self.rooms * (1 - taken))))


class Lodging:
    """The hotels around each airport, worked out when somebody asks for them first.

    Args:
        centres: where the airports are that have hotels, by their codes.
    """

    def __init__(self, centres: Mapping[str, Place]) -> None:
        self._centres = centres
        self._buildings: dict[str, list[Building]] = {}

    @property
    def cities(self) -> frozenset[str]:
        """The codes of the airports that have hotels."""
        return frozenset(self._centres)

    def around(self, city: str) -> list[Building]:
        """The hotels around an airport; none where the timetable has no flights to it."""
        if city not in self._buildings and city in self._centres:
            self._buildings[city] = list(_buildings(city, self._centres[city]))
        return self._buildings.get(city, [])


def _buildings(city: str, centre: Place) -> Iterator[Building]:
    chance = Chance(f"hotels of {city}")
    level = chance.between(0.82, 1.25)
    count = round(chance.between(*HOTELS))
    for name, stars in names(chance, (chance.pick(_STARS) for _ in range(count))):
        away = 0.3 + (FARTHEST - 0.3) * chance.between(0, 1) ** 2  # most are near
        place = Place(*(round(degree, 4) for degree in centre.toward(chance.between(0, 2 * pi), away)))
        yield Building(
            id=f"{city.lower()}-{plain(name).replace(' ', '-')}",
            name=name,
            city=city,
            stars=stars,
            place=place,
            distance=round(centre.distance(place), 1),
            rooms=round(chance.between(*_ROOMS[stars])),
            sleeps=chance.pick(_SLEEPS),
            rate=chance.between(*_NIGHT[stars]) * level * (1.1 - 0.012 * away),
        )
