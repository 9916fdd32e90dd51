"""The timetable: imported once from the published data, by whichever instance comes first.

The import is one transaction. Instances that start meanwhile wait for it; killed half-way, it leaves nothing, and
the next start does it again. It is also done again when the data or the schema are newer than what is there.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Table, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from search_service import fares, schedule, schema, source, tables
from search_service.atlas import Atlas
from search_service.database import Database

RULES = 2
"""Raised whenever the tables are filled in another way, as by another fare rule."""

BATCH = 10_000
"""Rows that are read, and then written, at a time: small enough that the event loop turns in between."""

_log = logging.getLogger(__name__)

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Timetable:
    """What the timetable spans, first and last day included."""

    version: str
    first_day: date
    last_day: date


def current_version() -> str:
    """What an up-to-date timetable calls itself."""
    return f"schema {schema.HEAD}, rules {RULES}, {source.data_version()}"


async def prepare(database: Database) -> Timetable:
    """The timetable of the current version, imported first where it is not there."""
    version = current_version()

    async def find_or_import(connection: AsyncConnection) -> Timetable:
        return await find(connection, version) or await _import(database, connection, version)

    async with database.engine.connect() as connection:
        found = await find(connection, version)
    return await database.write(find_or_import) if found is None else found


async def find(connection: AsyncConnection, version: str) -> Timetable | None:
    """The timetable of this version, where it has been imported."""
    table = tables.timetable.c
    query = select(table.version, table.first_day, table.last_day).where(table.version == version)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else Timetable(row.version, *map(date.fromisoformat, (row.first_day, row.last_day)))


async def _import(database: Database, connection: AsyncConnection, version: str) -> Timetable:
    """Fills the tables in place of what they hold, which others go on reading until all of it is there."""
    started = time.perf_counter()
    for table in tables.metadata.sorted_tables:
        await connection.execute(delete(table))
    compilation = await asyncio.to_thread(Compilation)
    await _fill(database, connection, tables.flight, compilation.flights())
    await _fill(database, connection, tables.punctuality, compilation.punctuality())
    await _fill(database, connection, tables.carrier, compilation.carriers())
    await _fill(database, connection, tables.airport, compilation.airports())
    compilation.warn()
    timetable = Timetable(version, *compilation.span)
    await _fill(database, connection, tables.timetable, iter([(version, *map(str, compilation.span))]))
    await database.weigh(connection)
    _log.info("timetable imported", extra={"seconds": round(time.perf_counter() - started, 3), "timetable": version})
    return timetable


async def _fill(database: Database, connection: AsyncConnection, table: Table, rows: Iterator[Row]) -> None:
    """Writes `rows`, each batch of which is worked out in a worker thread."""

    def next_batch() -> list[Row]:
        return list(islice(rows, BATCH))

    while batch := await asyncio.to_thread(next_batch):
        await database.insert(connection, table, batch)


class Compilation:
    """The rows of every table, worked out from the published data; a row's values are in its table's order.

    The flights come first: `punctuality`, `airports` and `span` tell of those that have been read by then.
    """

    def __init__(self) -> None:
        self._atlas = Atlas(source.read_airports(), source.read_recorded_airports())
        self._aircraft = source.read_aircraft()
        self._days: set[date] = set()
        self._counts: dict[tuple[str, int, str, str], tuple[int, int]] = {}
        self._left_out = 0

    @property
    def span(self) -> tuple[date, date]:
        """The first and the last day that has flights."""
        return min(self._days), max(self._days)

    def flights(self) -> Iterator[Row]:
        """Rows of `tables.flight`, without flights that have no place in time, as an airport's clock is unknown."""
        for record in source.read_flights():
            leaves, reaches = self._atlas.zone(record.origin), self._atlas.zone(record.dest)
            if leaves is None or reaches is None:
                self._left_out += 1
                continue
            number = int(record.flight)
            key = record.carrier, number, record.origin, record.dest
            on_time, scheduled = self._counts.get(key, (0, 0))
            self._counts[key] = on_time + record.on_time, scheduled + 1
            day = _day(record.year, record.month, record.day)
            self._days.add(day)
            departure, arrival, *offsets = _times(record, day, leaves, reaches)
            aircraft = self._aircraft.get(record.tailnum)
            hour = schedule.clock_time(record.sched_dep_time) // 60
            price = fares.fare(int(record.distance), record.carrier, day, hour)
            flight = day.isoformat(), departure, record.carrier, number, arrival, *offsets, aircraft, record.cancelled
            yield record.origin, record.dest, *flight, price

    def punctuality(self) -> Iterator[Row]:
        """Rows of `tables.punctuality`."""
        return ((*key, *counts) for key, counts in self._counts.items())

    @staticmethod
    def carriers() -> Iterator[Row]:
        """Rows of `tables.carrier`."""
        return iter(source.read_carriers().items())

    def airports(self) -> Iterator[Row]:
        """Rows of `tables.airport`."""
        served = {code for _, _, *ends in self._counts for code in ends}
        for code, (*words, latitude, longitude) in self._atlas.entries():
            yield code, *words, code in served, latitude, longitude

    def warn(self) -> None:
        """Tell, in one line, of the airports that the published data no longer know."""
        if self._atlas.from_record or self._atlas.unknown:
            _log.warning(
                "airports unknown to the published data",
                extra={
                    "data": source.data_version(),
                    "told_by_the_record": sorted(self._atlas.from_record),
                    "left_out": sorted(self._atlas.unknown),
                    "flights_left_out": self._left_out,
                },
            )


def _times(record: source.Record, day: date, leaves: ZoneInfo, reaches: ZoneInfo) -> tuple[int, int, int, int]:
    """The moments of departure and arrival, and the offsets then and there."""
    departure = schedule.moment_of(day, schedule.clock_time(record.sched_dep_time), leaves)
    arrival = schedule.next_showing(schedule.clock_time(record.sched_arr_time), reaches, departure)
    return departure, arrival, schedule.offset_at(departure, leaves), schedule.offset_at(arrival, reaches)


@lru_cache(maxsize=32)
def _day(year: str, month: str, day: str) -> date:
    return date(int(year), int(month), int(day))
