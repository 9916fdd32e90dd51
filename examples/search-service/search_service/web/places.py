"""Airports, as people type them: by code, as `San Francisco (SFO)`, or by a word that only one with flights has."""

import re
from collections.abc import Callable

from search_service.airports import Airport, Airports
from search_service.parameters import NotAllowedError
from search_service.words import plain

CHOICES = 6
"""The most airports that are offered where it is not clear which one is meant."""

_NAMED = re.compile(r"^.*\(([A-Za-z]{3})\)\s*$")


class ConnectionLimit:
    """Reads and writes the airports of a form."""

    def __init__(self, airports: Airports) -> None:
        self._airports = airports
        self.served = sorted(map(self.label, airports.served))

    def code(self, typed: str) -> str:
        """The code that is meant, or else what was typed."""
        named = _NAMED.match(typed)
        word = (named.group(1) if named else typed).strip()
        try:
            return self._airports.read_code(word)
        except NotAllowedError:
            meant = self._meant(word)
            return meant[0].code if len(meant) == 1 else typed

    def _meant(self, word: str) -> list[Airport]:
        """Those in the city of that name, or else all that may be."""
        choices = self.choices(word)
        return [each for each in choices if plain(each.city) == plain(word)] or choices

    def choices(self, typed: str) -> list[Airport]:
        """Airports with flights that may be meant."""
        return [each for each in self._airports.find(typed, CHOICES) if each.served]

    def label(self, code: str) -> str:
        """What the form shows for a code: `San Francisco (SFO)`; what is no code stays as it is."""
        return self._told(code, lambda each: f"{each.city or each.name} ({each.code})")

    def city(self, code: str) -> str:
        """The city of an airport, or its name where the city is not known."""
        return self._told(code, lambda each: each.city or each.name)

    def _told(self, code: str, tell: Callable[[Airport], str]) -> str:
        found = self._airports.find(code, 1)
        return tell(found[0]) if found and found[0].code == code else code
