"""Airports by their codes of 2013, whatever has become of the codes since.

What is published of airports moves, and the flights do not: a code is changed, dropped, or given to another airport. So
an airport that the flights name is what `airportsdata` has under its code, or under the code that it has by now, as
long as that lies where the record has the airport. Else it is what the record itself tells, without city and country.
"""

from collections.abc import Iterator, Mapping
from zoneinfo import ZoneInfo

from search_service.lodging import Place
from search_service.source import AirportEntry

RENAMED = {"PBI": "DJT"}
"""Codes of 2013, and those that the same airports have had since."""

NEAR = 10.0
"""How far apart two sources may have one airport, in kilometres; they differ by 1.3 at most, and LaGuardia and Kennedy
are 17 apart."""


class Atlas:
    """Finds the airports that the flights name.

    Args:
        current: airports by their codes of today.
        recorded: airports by their codes of 2013.

    Attributes:
        from_record: codes of those that `current` does not know, or not their clock, in the order they were asked for.
        unknown: codes of those whose clock nobody knows.
    """

    def __init__(self, current: Mapping[str, AirportEntry], recorded: Mapping[str, AirportEntry]) -> None:
        self._entries = dict(current)
        for then, now in RENAMED.items():
            if now in self._entries:
                self._entries[then] = self._entries.pop(now)
        self._recorded = recorded
        self._zones: dict[str, ZoneInfo | None] = {}
        self.from_record: list[str] = []
        self.unknown: list[str] = []

    def zone(self, code: str) -> ZoneInfo | None:
        """Return the clock of an airport that a flight names; None where nobody knows it."""
        try:
            return self._zones[code]
        except KeyError:
            zone = self._zones[code] = self._look_up(code)
            return zone

    def entries(self) -> Iterator[tuple[str, AirportEntry]]:
        """Give all airports with their codes; those that were asked for are what was found of them."""
        return iter(self._entries.items())

    def _look_up(self, code: str) -> ZoneInfo | None:
        entry, recorded = self._entries.get(code), self._recorded.get(code)
        if recorded is not None and entry is not None and _apart(entry, recorded) > NEAR:
            entry = None  # another airport has the code by now
        zone = None if entry is None else _zone(entry.time_zone)
        if zone is None and recorded is not None:
            entry = recorded if entry is None else entry._replace(time_zone=recorded.time_zone)
            zone = _zone(entry.time_zone)
            self.from_record.append(code)
        if entry is None or zone is None:
            self.unknown.append(code)
            return None
        self._entries[code] = entry
        return zone


def _apart(one: AirportEntry, other: AirportEntry) -> float:
    return Place(one.latitude, one.longitude).distance(Place(other.latitude, other.longitude))


def _zone(name: str) -> ZoneInfo | None:
    """Return the zone of that name, where this machine's tz database, or `tzdata`, has it."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # unknown; a folder of zones, such as America or none; no name at all
        return None
