"""The import, by real processes, which start together and are killed."""

import asyncio
import shutil
import signal
import sqlite3
from contextlib import AsyncExitStack, closing
from itertools import islice
from pathlib import Path
from typing import Any

import airportsdata
import pytest
from search_service import schema, service, source, tables, timetable
from search_service.database import Database
from searching import PATIENCE, search_process

pytestmark = pytest.mark.anyio

FLIGHTS = 336_776
STAY = "check_in=2013-07-04&check_out=2013-07-07&guests=2"
SAME_ANYHOW = (
    "/flights?origin=JFK&destination=PBI&date=2013-07-04",
    "/flights?origin=JFK&destination=LAX&date=2013-07-04&limit=100",
    "/flights?origin=EWR&destination=SJU&date=2013-07-04",
    f"/hotels?city=PBI&{STAY}",
    "/airports?q=PBI&limit=1",
)
"""Searches whose answers do not change where the published data no longer know those airports."""


async def half_way(file: Path) -> None:
    """Returns once an import into `file` has written a good part of its rows."""
    log = file.with_name(f"{file.name}-wal")
    async with asyncio.timeout(PATIENCE):
        while not (log.exists() and log.stat().st_size > 4_000_000):  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.01)


def url(file: Path) -> str:
    return f"sqlite+aiosqlite:///{file}"


def query(file: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(sql).fetchall()


def rows(file: Path) -> int:
    """How many rows there are in all tables of the timetable."""
    return sum(query(file, f"SELECT count(*) FROM {table}")[0][0] for table in tables.metadata.tables)


async def test_an_import_that_is_killed_half_way_leaves_nothing_and_the_next_start_does_it_again(
    tmp_path: Path,
) -> None:
    file = tmp_path / "timetable.db"
    async with search_process(url(file)) as killed:
        await half_way(file)
        assert (await killed.get("management_url", "/livez")).status_code == 200
        assert (await killed.get("management_url", "/readyz")).status_code == 503
        assert await killed.end(signal.SIGKILL) == -signal.SIGKILL
        assert not killed.logged("timetable imported")
    assert rows(file) == 0
    async with search_process(url(file)) as next_one:
        await next_one.wait_for("lmservice.ready")
        assert len(next_one.logged("timetable imported")) == 1
        assert query(file, "SELECT count(*) FROM flight") == [(FLIGHTS,)]
        assert await next_one.end(signal.SIGTERM) == 0


async def test_of_several_that_start_at_once_on_one_file_one_imports_and_all_answer(tmp_path: Path) -> None:
    file = tmp_path / "timetable.db"
    async with AsyncExitStack() as stack:
        searches = [await stack.enter_async_context(search_process(url(file))) for _ in range(3)]
        for search in searches:
            await search.wait_for("lmservice.ready")
        assert sum(len(search.logged("timetable imported")) for search in searches) == 1
        path = "/flights?origin=EWR&destination=SFO&date=2013-08-01"
        answers = [await search.get("url", path) for search in searches]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.text for answer in answers}) == 1
        assert [await search.end(signal.SIGTERM) for search in searches] == [0, 0, 0]
    assert query(file, "SELECT count(*), count(DISTINCT day) FROM flight") == [(FLIGHTS, 365)]


async def test_an_import_that_is_told_to_stop_ends_at_once_and_cleanly(tmp_path: Path) -> None:
    file = tmp_path / "timetable.db"
    async with search_process(url(file)) as search:
        await half_way(file)
        assert await search.end(signal.SIGTERM) == 0
        assert not search.logged("timetable imported")
    assert rows(file) == 0


async def test_a_later_start_does_not_import_again(database_file: Path) -> None:
    async with search_process(url(database_file)) as search:
        ready = await search.wait_for("lmservice.ready")
        assert not search.logged("timetable imported")
        assert ready["critical_path"][:3] == ["database", "schema", "timetable"]
        assert await search.end(signal.SIGTERM) == 0


async def test_airport_data_that_moved_stop_no_start_and_no_search(database_file: Path, tmp_path: Path) -> None:
    data = airports_without({"PBI": "DJT", "LAX": "", "SJU": ""}, tmp_path / "moved")
    async with (
        search_process(url(database_file)) as usual,
        search_process(url(tmp_path / "timetable.db"), PYTHONPATH=str(data)) as moved,
    ):
        for each in (usual, moved):
            await each.wait_for("lmservice.ready")
        for path in SAME_ANYHOW:
            answers = [await each.get("url", path) for each in (usual, moved)]
            assert [each.status_code for each in answers] == [200, 200]
            assert answers[0].json() == answers[1].json()
        found = (await moved.get("url", "/airports?q=LAX&limit=1")).json()["airports"][0]
        assert (found["name"], found["city"], found["served"]) == ("Los Angeles Intl", "", True)
        trips = (await moved.get("url", f"/trips?origin=JFK&destination=LAX&{STAY}")).json()
        assert trips["total"] > 100
        page = await moved.get("url", f"/?kind=trips&origin=JFK&destination=LAX&{STAY}")
        assert page.status_code == 200
        assert "Los Angeles Intl (LAX)" in page.text
        (told,) = moved.logged("airports unknown to the published data")
        assert (told["told_by_the_record"], told["left_out"]) == (["LAX", "SJU"], [])
        assert not usual.logged("airports unknown to the published data")
        assert [await each.end(signal.SIGTERM) for each in (usual, moved)] == [0, 0]


def airports_without(codes: dict[str, str], folder: Path) -> Path:
    """A copy of the package of airports, in which these codes are others, or none."""
    package = shutil.copytree(Path(airportsdata.__file__).parent, folder / "airportsdata")
    file = package / "airports.csv"
    text = file.read_text(encoding="utf-8")
    for code, instead in codes.items():
        assert f',"{code}",' in text or f',"{instead}",' in text  # published so by now
        text = text.replace(f'"{code}"', f'"{instead}"')
    file.write_text(text, encoding="utf-8")
    return folder


async def test_flights_at_an_airport_whose_clock_nobody_knows_are_left_out_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = list(islice(source.read_flights(), 100))
    lost = [first[0]._replace(dest="XXX"), first[1]._replace(origin="XX1"), first[2]._replace(dest="XXX")]
    monkeypatch.setattr(source, "read_flights", lambda: iter([*lost, *first]))
    database = Database(url(tmp_path / "t.db"))
    await schema.upgrade(database)
    await timetable.prepare(database)
    await database.close()
    assert query(tmp_path / "t.db", "SELECT count(*) FROM flight") == [(100,)]
    assert query(tmp_path / "t.db", "SELECT sum(flights) FROM punctuality") == [(100,)]
    (told,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert (vars(told)["left_out"], vars(told)["flights_left_out"]) == (["XX1", "XXX"], 3)


async def test_a_database_that_cannot_be_had_ends_the_start_with_one_that_can(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with search_process(url(tmp_path / "file" / "t.db")) as search:
        assert await search.ended() == 3
        assert "set LM_DATABASE_URL" in search.logged("lmservice.stopped")[0]["problems"][0]


async def test_a_timetable_of_another_version_is_imported_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first_thousand = list(islice(source.read_flights(), 1000))
    monkeypatch.setattr(source, "read_flights", lambda: iter(first_thousand))
    database = Database(url(tmp_path / "t.db"))
    await schema.upgrade(database)
    old = await timetable.prepare(database)
    assert await timetable.prepare(database) == old
    monkeypatch.setattr(timetable, "RULES", timetable.RULES + 1)
    new = await timetable.prepare(database)
    await database.close()
    assert new.version != old.version
    assert query(tmp_path / "t.db", "SELECT version FROM timetable") == [(new.version,)]
    assert query(tmp_path / "t.db", "SELECT count(*) FROM flight") == [(1000,)]


def test_every_flight_takes_more_than_no_time_and_less_than_a_day(database_file: Path) -> None:
    durations = query(database_file, "SELECT min(arrival - departure) / 60, max(arrival - departure) / 60 FROM flight")
    assert durations == [(50, 700)]


def test_every_flight_has_a_carrier_a_punctuality_and_airports_that_are_served(database_file: Path) -> None:
    joined = """
        SELECT count(*) FROM flight
        JOIN punctuality USING (carrier, number, origin, destination)
        JOIN carrier ON carrier.code = flight.carrier
        JOIN airport a ON a.code = flight.origin AND a.served
        JOIN airport b ON b.code = flight.destination AND b.served
    """
    assert query(database_file, joined) == [(FLIGHTS,)]
    assert query(database_file, "SELECT sum(flights), max(on_time <= flights) FROM punctuality") == [(FLIGHTS, 1)]
    assert query(database_file, "SELECT count(*) FROM flight WHERE cancelled") == [(8255,)]
    assert query(database_file, "SELECT count(*) FROM airport WHERE served") == [(107,)]


def test_the_jobs_of_the_service_can_be_put_in_order() -> None:
    service.check()
