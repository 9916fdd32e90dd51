"""The chart of the days around one: prices as bars, punctuality as a line below, in the coordinates of an SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import ceil

from search_service.days import DayOnRoute
from search_service.web import words

WIDTH = 420
HEIGHT = 258
LEFT = 44
PRICES = (14, 138)
"""The top and the bottom of the prices' panel …"""

RATIOS = (170, 232)
"""… and of the punctuality's, in percent of the departures."""

GAP = 4
STEPS = (10, 20, 25, 50, 100, 200, 250, 500, 1000, 2500, 5000)
LINES = 3


@dataclass(frozen=True)
class Bar:
    """One day.

    Attributes:
        x: of its left edge.
        middle: of it.
        top: of its bar; None where there is no price.
        height: of its bar.
        dot: how high its punctuality is; None without flights.
        label: for the axis; empty for most.
    """

    day: DayOnRoute
    chosen: bool
    cheapest: bool
    x: float
    middle: float
    top: float | None
    height: float
    dot: float | None
    label: str


@dataclass(frozen=True)
class Line:
    """A line of the grid, and what it stands for."""

    y: float
    label: str


@dataclass(frozen=True)
class Chart:
    """The chart; `summary` says in a sentence what it shows."""

    bars: list[Bar]
    width: float
    prices: list[Line]
    ratios: list[Line]
    paths: list[str]
    summary: str


def draw(days: Sequence[DayOnRoute], chosen: date) -> Chart | None:
    """The chart of some days in a row; None where nothing was flown in any of them."""
    prices = [each.cheapest for each in days if each.cheapest is not None]
    if not prices:
        return None
    step = next((each for each in STEPS if max(prices) / each <= LINES), STEPS[-1])
    most = step * ceil(max(prices) / step)
    width = (WIDTH - LEFT) / len(days)
    bars = [_bar(each, at, width, (most, min(prices), _lowest(days)), chosen) for at, each in enumerate(days)]
    grid = [Line(_height(PRICES, value / most), f"${value:,}") for value in range(0, most + 1, step)]
    low = _lowest(days)
    ratios = [Line(_height(RATIOS, at / 2), f"{low + at * (100 - low) // 2} %") for at in range(3)]
    return Chart(bars, round(width - GAP, 2), grid, ratios, _paths(bars), _summary(days, chosen))


def _bar(day: DayOnRoute, at: int, width: float, scale: tuple[int, float, int], chosen: date) -> Bar:
    most, least, low = scale
    x = LEFT + at * width + GAP / 2
    top = None if day.cheapest is None else _height(PRICES, day.cheapest / most)
    return Bar(
        day=day,
        chosen=day.date == chosen,
        cheapest=day.cheapest == least,
        x=round(x, 2),
        middle=round(x + (width - GAP) / 2, 2),
        top=top,
        height=0 if top is None else round(PRICES[1] - top, 2),
        dot=None if day.on_time_ratio is None else _height(RATIOS, (day.on_time_ratio * 100 - low) / (100 - low)),
        label=f"{day.date.day} {day.date:%b}" if at % 5 == 0 else "",
    )


def _lowest(days: Sequence[DayOnRoute]) -> int:
    """Where the axis of the punctuality begins, in percent."""
    worst = min(each.on_time_ratio for each in days if each.on_time_ratio is not None)
    return int(worst * 2) * 50 if worst < 1 else 50


def _height(panel: tuple[int, int], share: float) -> float:
    top, bottom = panel
    return round(bottom - share * (bottom - top), 2)


def _paths(bars: Sequence[Bar]) -> list[str]:
    """Lines through the days with flights, broken where a day has none."""
    runs: list[list[str]] = [[]]
    for each in bars:
        if each.dot is None:
            runs.append([])
        else:
            runs[-1].append(f"{each.middle},{each.dot}")
    return [" ".join(run) for run in runs if len(run) > 1]


def _summary(days: Sequence[DayOnRoute], chosen: date) -> str:
    priced = {each.date: each.cheapest for each in days if each.cheapest is not None}
    best = min(priced, key=lambda day: (priced[day], abs(day - chosen)))
    said = f"The cheapest of these days is {words.short_day(best)}, from {words.dollars(priced[best])}"
    if chosen not in priced:
        return f"{said}; {words.short_day(chosen)} has no flight to take."
    if priced[chosen] == priced[best]:
        return f"{words.short_day(chosen)} is the cheapest of these days, from {words.dollars(priced[chosen])}."
    return f"{said}; {words.short_day(chosen)} starts at {words.dollars(priced[chosen])}."
