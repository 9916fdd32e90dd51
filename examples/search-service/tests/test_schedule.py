from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from search_service.schedule import clock_time, local, moment_of, next_showing, offset_at

NEW_YORK = ZoneInfo("America/New_York")
LOS_ANGELES = ZoneInfo("America/Los_Angeles")
HONOLULU = ZoneInfo("Pacific/Honolulu")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")


def shown(moment: int, zone: ZoneInfo) -> str:
    return local(moment, offset_at(moment, zone)).isoformat()


def departing(day: str, hhmm: str) -> int:
    return moment_of(date.fromisoformat(day), clock_time(hhmm), NEW_YORK)


def arriving(departure: int, hhmm: str, zone: ZoneInfo) -> str:
    return shown(next_showing(clock_time(hhmm), zone, departure), zone)


@pytest.mark.parametrize(("hhmm", "minutes"), [("517", 317), ("5", 5), ("0", 0), ("2400", 0), ("2359", 1439)])
def test_a_clock_time_is_read_without_its_leading_zeros(hhmm: str, minutes: int) -> None:
    assert clock_time(hhmm) == minutes


def test_a_departure_is_spelled_with_the_offset_in_force_that_day() -> None:
    assert shown(departing("2013-07-04", "900"), NEW_YORK) == "2013-07-04T09:00:00-04:00"
    assert shown(departing("2013-12-24", "900"), NEW_YORK) == "2013-12-24T09:00:00-05:00"


def test_an_arrival_across_zones_is_the_destinations_clock() -> None:
    assert arriving(departing("2013-07-04", "900"), "1153", LOS_ANGELES) == "2013-07-04T11:53:00-07:00"
    assert arriving(departing("2013-07-04", "900"), "1440", HONOLULU) == "2013-07-04T14:40:00-10:00"


def test_an_arrival_past_midnight_is_on_the_next_day() -> None:
    assert arriving(departing("2013-07-04", "2359"), "344", NEW_YORK) == "2013-07-05T03:44:00-04:00"
    assert arriving(departing("2013-12-31", "2250"), "2400", NEW_YORK) == "2014-01-01T00:00:00-05:00"


def test_an_arrival_at_the_clock_time_of_departure_is_a_day_later() -> None:
    departure = departing("2013-07-04", "900")
    assert next_showing(clock_time("900"), NEW_YORK, departure) == departure + 86_400


def test_an_arrival_after_the_clocks_went_forward_has_the_new_offset() -> None:
    assert arriving(departing("2013-03-09", "2330"), "430", NEW_YORK) == "2013-03-10T04:30:00-04:00"


def test_a_clock_time_that_the_change_skips_is_shown_a_day_later() -> None:
    assert arriving(departing("2013-03-09", "2330"), "230", NEW_YORK) == "2013-03-11T02:30:00-04:00"


def test_of_a_clock_time_that_comes_twice_the_first_after_departure_counts() -> None:
    before = departing("2013-11-02", "2330")
    assert arriving(before, "130", NEW_YORK) == "2013-11-03T01:30:00-04:00"
    between = int(datetime(2013, 11, 3, 5, 45, tzinfo=UTC).timestamp())
    assert arriving(between, "130", NEW_YORK) == "2013-11-03T01:30:00-05:00"


def test_a_departure_in_the_skipped_hour_is_counted_on_from_before_it() -> None:
    assert shown(departing("2013-03-10", "230"), NEW_YORK) == "2013-03-10T03:30:00-04:00"


@pytest.mark.parametrize("zone", [NEW_YORK, LOS_ANGELES, HONOLULU, LORD_HOWE], ids=str)
@pytest.mark.parametrize("noon", ["2013-03-09", "2013-03-10", "2013-04-06", "2013-10-05", "2013-11-02", "2013-11-03"])
def test_the_next_showing_is_what_watching_the_clock_would_find(zone: ZoneInfo, noon: str) -> None:
    start = datetime.fromisoformat(noon).replace(hour=12, tzinfo=UTC)
    watched: dict[int, int] = {}
    for minute in range(1, 2 * 1440):
        moment = start + timedelta(minutes=minute)
        local = moment.astimezone(zone)
        watched.setdefault(local.hour * 60 + local.minute, int(moment.timestamp()))
    found = {clock: next_showing(clock, zone, int(start.timestamp())) for clock in range(1440)}
    assert found == watched
