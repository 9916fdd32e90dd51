"""From the clocks on airports' walls to moments, and back.

A moment is whole seconds since 1970 in UTC; a clock time is minutes since midnight; an offset is seconds east of UTC.
"""

from datetime import date, datetime, timedelta, timezone
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

DAY = 86_400
"""Seconds in a day of UTC."""

_QUARTER = 900


@cache
def clock_time(hhmm: str) -> int:
    """The clock time that `hhmm` spells, without leading zeros; `2400` is midnight, as `0` is."""
    hours, minutes = divmod(int(hhmm), 100)
    return (hours * 60 + minutes) % 1440


def moment_of(day: date, clock: int, zone: ZoneInfo) -> int:
    """The first moment at which `zone` shows `clock` on `day`.

    A time that a change of clocks skips is counted on from the clock before the change (RFC 5545, 3.3.5).
    """
    hours, minutes = divmod(clock, 60)
    return int(datetime(day.year, day.month, day.day, hours, minutes, tzinfo=zone).timestamp())


def offset_at(moment: int, zone: ZoneInfo) -> int:
    """The offset of `zone` at `moment`."""
    return _offset_in_quarter(moment // _QUARTER, zone)


@lru_cache(maxsize=8192)
def _offset_in_quarter(quarter: int, zone: ZoneInfo) -> int:
    """Clocks are changed on quarter hours of UTC, so one look serves a quarter hour."""
    offset = datetime.fromtimestamp(quarter * _QUARTER, zone).utcoffset()
    return round(offset.total_seconds()) if offset else 0


def next_showing(clock: int, zone: ZoneInfo, after: int) -> int:
    """The first moment later than `after` at which `zone` shows `clock`.

    Within a day clocks are changed at most once, and each of the two offsets has one moment of that day at which it
    would make `zone` show `clock`. A moment counts where its offset is in force then: both may count (the hour that
    comes twice), or neither (the hour that is skipped), and then the search goes on a day later.
    """
    first, last = offset_at(after, zone), offset_at(after + DAY, zone)
    if first == last:
        return _next_at(clock, first, after)
    moments = [(_next_at(clock, offset, after), offset) for offset in (first, last)]
    shown = [moment for moment, offset in moments if offset_at(moment, zone) == offset]
    return min(shown) if shown else next_showing(clock, zone, after + DAY)


def _next_at(clock: int, offset: int, after: int) -> int:
    return after + ((clock * 60 - offset - after) % DAY or DAY)


def local(moment: int, offset: int) -> datetime:
    """The moment, as a clock with this offset shows it."""
    return datetime.fromtimestamp(moment, _clock(offset))


@cache
def _clock(offset: int) -> timezone:
    return timezone(timedelta(seconds=offset))
