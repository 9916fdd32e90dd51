"""Airports that the published data know otherwise than the record of the flights."""

from zoneinfo import ZoneInfo

import pytest
from search_service import source
from search_service.atlas import NEAR, RENAMED, Atlas
from search_service.lodging import Place
from search_service.source import AirportEntry

PALM_BEACH = AirportEntry("Trump", "West Palm Beach", "Florida", "US", "America/New_York", 26.6832, -80.0956)
ELSEWHERE = AirportEntry("Paso Bravo", "Paso", "Alto", "PY", "America/Asuncion", -22.1, -58.2)
LISTED = AirportEntry("Palm Beach Intl", "", "", "", "America/New_York", 26.6832, -80.0956)
NEW_YORK = ZoneInfo("America/New_York")


def test_an_airport_whose_code_has_changed_keeps_that_of_2013_and_no_other() -> None:
    atlas = Atlas({"DJT": PALM_BEACH}, {"PBI": LISTED})
    assert atlas.zone("PBI") is NEW_YORK
    assert dict(atlas.entries()) == {"PBI": PALM_BEACH}
    assert not atlas.from_record


def test_an_airport_whose_code_has_not_changed_yet_keeps_it() -> None:
    atlas = Atlas({"PBI": PALM_BEACH}, {"PBI": LISTED})
    assert atlas.zone("PBI") is NEW_YORK
    assert dict(atlas.entries()) == {"PBI": PALM_BEACH}


def test_a_changed_code_that_another_airport_has_by_now_is_still_that_of_2013() -> None:
    atlas = Atlas({"DJT": PALM_BEACH, "PBI": ELSEWHERE}, {"PBI": LISTED})
    assert atlas.zone("PBI") is NEW_YORK
    assert dict(atlas.entries()) == {"PBI": PALM_BEACH}


def test_an_airport_that_the_data_dropped_is_what_the_record_tells_of_it() -> None:
    atlas = Atlas({}, {"PBI": LISTED})
    assert atlas.zone("PBI") is NEW_YORK
    assert dict(atlas.entries()) == {"PBI": LISTED}
    assert (atlas.from_record, atlas.unknown) == (["PBI"], [])


def test_a_code_that_the_data_give_to_an_airport_elsewhere_stays_with_the_one_that_the_record_has() -> None:
    atlas = Atlas({"PBI": ELSEWHERE}, {"PBI": LISTED})
    assert atlas.zone("PBI") is NEW_YORK
    assert dict(atlas.entries()) == {"PBI": LISTED}
    assert atlas.from_record == ["PBI"]


@pytest.mark.parametrize("zone", ["", "America", "America/New_Atlantis", "../etc/passwd"])
def test_a_zone_that_is_none_gives_way_to_the_one_that_the_record_has(zone: str) -> None:
    atlas = Atlas({"PBI": PALM_BEACH._replace(time_zone=zone)}, {"PBI": LISTED})
    assert atlas.zone("PBI") is NEW_YORK
    assert dict(atlas.entries()) == {"PBI": PALM_BEACH}
    assert atlas.from_record == ["PBI"]


def test_an_airport_that_nobody_knows_has_no_clock_and_is_told_once() -> None:
    atlas = Atlas({"PBI": PALM_BEACH}, {})
    assert [atlas.zone("XXX"), atlas.zone("XXX"), atlas.zone("PBI")] == [None, None, NEW_YORK]
    assert (atlas.from_record, atlas.unknown) == ([], ["XXX"])
    assert dict(atlas.entries()) == {"PBI": PALM_BEACH}


def test_the_record_alone_knows_where_all_of_its_flights_go_and_agrees_with_the_published_data() -> None:
    flown = {code for each in source.read_flights() for code in (each.origin, each.dest)}
    recorded = source.read_recorded_airports()
    alone, both = Atlas({}, recorded), Atlas(source.read_airports(), recorded)
    assert [code for code in flown if alone.zone(code) is None or both.zone(code) is None] == []
    assert both.from_record == []
    published = dict(both.entries())
    places = [(Place(*each[code][-2:]) for each in (recorded, published)) for code in flown]
    assert max(one.distance(other) for one, other in places) < NEAR / 5


def test_codes_have_changed_only_where_the_record_has_the_airport() -> None:
    assert RENAMED.keys() <= source.read_recorded_airports().keys()
