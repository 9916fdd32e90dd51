"""The picture of the start: every route of the timetable, as an arc out of New York."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import cos, radians

from search_service.lodging import Place

ORIGIN = "JFK"
WIDTH = 560
HEIGHT = 300
EDGE = 12
BOW = 0.16
"""How far an arc leaves the straight line, as a part of its length."""


@dataclass(frozen=True)
class Arc:
    """A route: where it ends, and the SVG path to there."""

    x: float
    y: float
    path: str


def draw(served: Collection[str], places: Mapping[str, Place]) -> list[Arc]:
    """An arc to each airport served, on a map as wide as they need."""
    points = {code: _flat(places[code]) for code in sorted(served)}
    xs, ys = zip(*points.values(), strict=True)
    scale = min((WIDTH - 2 * EDGE) / (max(xs) - min(xs)), (HEIGHT - 2 * EDGE) / (max(ys) - min(ys)))
    placed = {code: (EDGE + (x - min(xs)) * scale, EDGE + (y - min(ys)) * scale) for code, (x, y) in points.items()}
    start = placed[ORIGIN]
    return [_arc(start, end) for code, end in placed.items() if code != ORIGIN]


def _flat(place: Place) -> tuple[float, float]:
    """East and south, in degrees as long as at the middle of the United States."""
    return place.longitude * cos(radians(38)), -place.latitude


def _arc(start: tuple[float, float], end: tuple[float, float]) -> Arc:
    (x, y), (to_x, to_y) = start, end
    bow_x, bow_y = (x + to_x) / 2, (y + to_y) / 2 - abs(to_x - x) * BOW
    return Arc(round(to_x, 1), round(to_y, 1), f"M{x:.1f} {y:.1f}Q{bow_x:.1f} {bow_y:.1f} {to_x:.1f} {to_y:.1f}")
