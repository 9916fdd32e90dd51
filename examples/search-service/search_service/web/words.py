"""How the page says days, times, amounts and outcomes."""

from collections.abc import Iterable
from datetime import date, datetime
from math import ceil

from search_service.market import SEVERITY
from search_service.offers import FlightOffer, Outcome, Price

_SYMBOLS = {"USD": "$"}
_OUTCOMES = {
    "ok": "answered",
    "late": "did not answer in time",
    "failed": "could not answer",
    "open": "is left alone for a while, as it failed too often",
}


def long_day(day: date) -> str:
    """A day in full, as `Thursday 4 July 2013`."""
    return f"{day:%A} {day.day} {day:%B %Y}"


def short_day(day: date) -> str:
    """A day of the year, as `Thu 4 Jul`."""
    return f"{day:%a} {day.day} {day:%b}"


def clock(moment: datetime) -> str:
    """The time on the clock."""
    return f"{moment:%H:%M}"


def duration(minutes: int) -> str:
    """How long, as `5 h 53 min`."""
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest:02} min" if hours else f"{rest} min"


def days_later(flight: FlightOffer) -> int:
    """How many days after its departure a flight arrives, by the clocks there."""
    return (flight.arrival.date() - flight.departure.date()).days


def money(price: Price) -> str:
    """An amount, with cents where it has some."""
    return dollars(price.amount, _SYMBOLS.get(price.currency, f"{price.currency} "))


def dollars(amount: float, symbol: str = "$") -> str:
    """An amount of dollars."""
    return f"{symbol}{amount:,.0f}" if amount == int(amount) else f"{symbol}{amount:,.2f}"


def at_least(amount: float) -> str:
    """An amount of whole dollars, for where there is little room: never less than it costs."""
    return dollars(ceil(amount))


def percent(ratio: float) -> str:
    """A ratio, as `81 %`."""
    return f"{ratio:.0%}".replace("%", "\N{NO-BREAK SPACE}%")


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number of things."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def joined(parts: Iterable[str]) -> str:
    """The parts as a list in a sentence."""
    *most, last = list(parts)
    return f"{', '.join(most)} and {last}" if most else last


def missing(outcomes: dict[str, Outcome]) -> str:
    """Who did not answer, as a sentence."""
    absent = sorted((each for each in outcomes.items() if each[1] != "ok"), key=lambda each: SEVERITY.index(each[1]))
    return joined(f"{_named(name)} {_OUTCOMES[outcome]}" for name, outcome in absent)


def _named(supplier: str) -> str:
    return "our own inventory" if supplier == "local" else supplier
