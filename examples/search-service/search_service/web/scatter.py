"""The chart of hotels: what a night costs against how far away it is, in the coordinates of an SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from search_service.offers import HotelOffer
from search_service.web.chart import LEFT, LINES, STEPS, WIDTH, Line

TOP = 14
BOTTOM = 190
INSET = 10


@dataclass(frozen=True)
class Dot:
    """A hotel."""

    hotel: HotelOffer
    x: float
    y: float


@dataclass(frozen=True)
class Scatter:
    """The hotels of a page, with the lines of the prices; `far` has the distances, and where they stand."""

    dots: list[Dot]
    prices: list[Line]
    far: list[tuple[float, str]]


def draw(hotels: Sequence[HotelOffer]) -> Scatter | None:
    """The chart of a page of hotels; None for fewer than can be compared."""
    if len(hotels) < 2:  # noqa: PLR2004 - one hotel is no chart
        return None
    dearest = max(each.price_per_night.amount for each in hotels)
    step = next((each for each in STEPS if dearest / each <= LINES), STEPS[-1])
    most = step * ceil(dearest / step)
    farthest = max(1, ceil(max(each.distance_km for each in hotels)))
    dots = [Dot(each, _x(each.distance_km / farthest), _y(each.price_per_night.amount / most)) for each in hotels]
    prices = [Line(_y(value / most), f"${value:,}") for value in range(0, most + 1, step)]
    far = [(_x(share), f"{farthest * share:g} km") for share in (0, 0.5, 1)]
    return Scatter(dots, prices, far)


def _x(share: float) -> float:
    return round(LEFT + INSET + share * (WIDTH - LEFT - 2 * INSET), 2)


def _y(share: float) -> float:
    return round(BOTTOM - share * (BOTTOM - TOP), 2)
