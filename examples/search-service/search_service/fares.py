"""The fare rule: what a seat costs. Nobody published the fares of 2013, so they are made up here, and say so.

A fare is a pure function of the flight: pages, caches, instances and restarts agree on it. Therefore the time to
departure counts from one day of sale for all, the first day of the record. In cents,

    (BASE + PER_MILE * miles) * carrier * season * weekday * hour * notice

with the factors below, in hundredths, rounded half up.
"""

from datetime import date

CURRENCY = "USD"
SALE = date(2013, 1, 1)
"""The day on which every ticket is bought."""

BASE = 49_00
PER_MILE = 9

CARRIERS = {"AA": 108, "B6": 94, "DL": 107, "EV": 96, "F9": 83, "FL": 86, "HA": 112, "MQ": 95, "UA": 106, "WN": 90}
"""By code; one that is not here charges 100."""

MONTHS = (88, 86, 102, 99, 101, 114, 122, 118, 93, 95, 104, 121)
"""January first: summer and the holidays are dear."""

WEEKDAYS = (101, 92, 91, 99, 113, 97, 111)
"""Monday first."""

HOURS = (86,) * 5 + (95, 104, 109, 110, 104, 99, 97, 96, 97, 99, 103, 108, 111, 110, 103, 95, 91, 88, 86)
"""Of the departure, on the clock at the origin, midnight first."""

NOTICES = ((3, 165), (7, 140), (14, 122), (30, 108), (90, 100))
"""At most so many days to the departure, and its factor."""

EARLY = 94
"""The factor of all that is farther ahead."""


def fare(miles: int, carrier: str, day: date, hour: int) -> int:
    """The price of a seat, in cents.

    Args:
        miles: between the airports.
        carrier: its code.
        day: of the scheduled departure, at the origin.
        hour: of the scheduled departure, from 0 to 23.
    """
    times = MONTHS[day.month - 1] * WEEKDAYS[day.weekday()] * HOURS[hour] * _notice((day - SALE).days)
    price = (BASE + PER_MILE * miles) * CARRIERS.get(carrier, 100) * times
    return (price + _WHOLE // 2) // _WHOLE


_WHOLE: int = 100**5
"""Five factors in hundredths."""


def _notice(days: int) -> int:
    return next((factor for most, factor in NOTICES if days <= most), EARLY)
