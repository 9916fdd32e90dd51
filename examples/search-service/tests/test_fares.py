from datetime import date, timedelta

import pytest
from search_service.fares import EARLY, HOURS, MONTHS, NOTICES, WEEKDAYS, fare

YEAR = [date(2013, 1, 1) + timedelta(days) for days in range(365)]


@pytest.mark.parametrize(
    ("miles", "carrier", "day", "hour", "cents"),
    [
        (2475, "AA", date(2013, 7, 4), 9, 271_75 * 108 * 122 * 99 * 104 * 94 / 100**5),
        (2475, "VX", date(2013, 1, 1), 0, 271_75 * 100 * 88 * 92 * 86 * 165 / 100**5),
        (187, "WN", date(2013, 12, 22), 23, 65_83 * 90 * 121 * 111 * 86 * 94 / 100**5),
    ],
)
def test_a_fare_is_the_stated_product(miles: int, carrier: str, day: date, hour: int, cents: float) -> None:
    assert abs(fare(miles, carrier, day, hour) - cents) <= 0.5001


def test_a_longer_flight_costs_more() -> None:
    fares = [fare(miles, "UA", date(2013, 5, 7), 12) for miles in range(80, 5000, 10)]
    assert fares == sorted(set(fares))


def test_the_season_the_weekday_and_the_notice_all_tell() -> None:
    middle = range(9, 20)
    assert fare(1000, "UA", date(2013, 7, 9), 12) > fare(1000, "UA", date(2013, 9, 10), 12)
    assert fare(1000, "UA", date(2013, 7, 12), 12) > fare(1000, "UA", date(2013, 7, 9), 12)
    same_weekday = [fare(1000, "UA", date(2013, 1, 2) + timedelta(weeks=week), 12) for week in range(5)]
    assert same_weekday == sorted(same_weekday, reverse=True)
    assert len(set(same_weekday)) > 2
    assert len({fare(1000, "UA", date(2013, 4, day), 12) for day in middle}) == len(set(WEEKDAYS))


def test_every_fare_of_the_year_is_within_reach() -> None:
    fares = [fare(miles, "DL", day, 12) for miles in (80, 1000, 4983) for day in YEAR]
    assert min(fares) > 40_00
    assert max(fares) < 1000_00


def test_the_factors_are_in_the_order_of_days() -> None:
    assert len(MONTHS) == 12
    assert len(WEEKDAYS) == 7
    assert len(HOURS) == 24
    assert list(NOTICES) == sorted(NOTICES)
    assert [factor for _, factor in NOTICES] == sorted((factor for _, factor in NOTICES), reverse=True)
    assert NOTICES[-1][1] > EARLY
