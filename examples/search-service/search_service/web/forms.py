"""The form of each kind of search: its fields, what was entered in them, and what is wrong with that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from search_service.problems import ParameterProblem
from search_service.source import FIRST_DAY, LAST_DAY

Kind = Literal["flights", "hotels", "trips"]
Input = Literal["airport", "date", "time", "number", "select"]


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of a form, which is a parameter of the search.

    Attributes:
        wanted: said where it is missing, or wrong.
        initial: what a form that nobody filled in has.
        choices: of a select, values and their words.
        narrows: whether it is a filter.
    """

    name: str
    label: str
    input: Input
    wanted: str = ""
    initial: str = ""
    unit: str = ""
    low: str | None = None
    high: str | None = None
    choices: Sequence[tuple[str, str]] = ()
    narrows: bool = False


@dataclass(frozen=True)
class Filled:
    """A field with what was entered; `error` is a sentence, or empty."""

    field: Field
    value: str
    error: str = ""


@dataclass(frozen=True)
class Form:
    """A search, as a person enters it.

    Attributes:
        orders: by which its results can be sorted, and the words for it; the first is the usual one.
    """

    kind: Kind
    title: str
    fields: tuple[Field, ...]
    orders: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> list[str]:
        """All parameters that it can send."""
        return [*(field.name for field in self.fields), *(["sort"] if self.orders else ()), "cursor"]

    def filled(self, values: Mapping[str, str], problems: Sequence[ParameterProblem] = ()) -> list[Filled]:
        """Its fields with values and errors."""
        errors = {each.parameter: each for each in problems}
        return [
            Filled(field, values.get(field.name, ""), self._sentence(field, errors.get(field.name)))
            for field in self.fields
        ]

    def initial(self) -> dict[str, str]:
        """What it has before anything was entered."""
        return {field.name: field.initial for field in self.fields if field.initial}

    def _sentence(self, field: Field, problem: ParameterProblem | None) -> str:
        if problem is None:
            return ""
        if problem.value is None:
            return field.wanted
        return f"“{problem.value}” {self._in_words(problem.reason)}. {field.wanted}"

    def _in_words(self, reason: str) -> str:
        for field in self.fields:
            reason = reason.replace(field.name, f"“{field.label}”") if "_" in field.name else reason
        return reason


_ANY = ("", "Any")
_STARS = (_ANY, *((str(each), f"{each} or more") for each in (2, 3, 4)), ("5", "5"))
_FLIGHT_ORDERS = (
    ("departure", "Earliest"), ("price", "Cheapest"), ("duration", "Fastest"), ("punctuality", "Most punctual"),
)  # fmt: skip
_PRICE = "Enter an amount in dollars, such as 250."

ORIGIN = Field(
    name="origin", label="From", input="airport", initial="JFK",
    wanted="Enter the airport that you leave from: its city, name or code.",
)  # fmt: skip
DESTINATION = Field(
    name="destination", label="To", input="airport",
    wanted="Enter the airport that you fly to: its city, name or code.",
)  # fmt: skip
CITY = Field(
    name="city", label="Where", input="airport",
    wanted="Enter a place that flights go to: a city, or an airport's name or code.",
)  # fmt: skip
DATE = Field(
    name="date", label="Date", input="date", initial="2013-07-04", low=str(FIRST_DAY), high=str(LAST_DAY),
    wanted="Choose a day in 2013, the year on record.",
)  # fmt: skip
CHECK_IN = Field(
    name="check_in", label="Check-in", input="date", initial="2013-07-04",
    low=str(FIRST_DAY), high=str(LAST_DAY), wanted="Choose a day in 2013, the year on record.",
)  # fmt: skip
CHECK_OUT = Field(
    name="check_out", label="Check-out", input="date", initial="2013-07-07",
    wanted="Choose a day 1 to 30 nights after check-in.", low="2013-01-02", high="2014-01-30",
)  # fmt: skip
GUESTS = Field(
    name="guests", label="Guests", input="number", initial="2", low="1", high="9", wanted="Enter a number from 1 to 9.",
)  # fmt: skip
PRICE = Field(
    name="max_price", label="Price up to", input="number", unit="$", low="0", narrows=True, wanted=_PRICE,
)  # fmt: skip
AFTER = Field(
    name="depart_after", label="Leaves after", input="time", narrows=True, wanted="Enter a time, such as 08:00.",
)  # fmt: skip
BEFORE = Field(
    name="depart_before", label="Leaves before", input="time", narrows=True,
    wanted="Enter a later time, such as 18:00.",
)  # fmt: skip
STARS = Field(
    name="stars", label="Stars", input="select", choices=_STARS, narrows=True, wanted="Choose 1 to 5 stars.",
)  # fmt: skip
DISTANCE = Field(
    name="max_distance", label="Distance up to", input="number", unit="km", low="0", narrows=True,
    wanted="Enter a distance in kilometres, such as 5.",
)  # fmt: skip


def forms(carriers: Mapping[str, str]) -> dict[Kind, Form]:
    """The forms, in the order in which they are offered.

    Args:
        carriers: names by codes.
    """
    carrier = Field(
        name="carrier", label="Carrier", input="select", narrows=True, wanted="Choose a carrier of the list.",
        choices=(_ANY, *sorted(carriers.items(), key=lambda each: each[1])),
    )  # fmt: skip
    return {
        "flights": Form(
            "flights", "Flights", (ORIGIN, DESTINATION, DATE, carrier, PRICE, AFTER, BEFORE),
            _FLIGHT_ORDERS,
        ),
        "hotels": Form(
            "hotels", "Hotels", (CITY, CHECK_IN, CHECK_OUT, GUESTS, STARS, PRICE, DISTANCE),
            (("price", "Cheapest"), ("stars", "Most stars"), ("distance", "Nearest")),
        ),
        "trips": Form(
            "trips", "Trips", (ORIGIN, DESTINATION, CHECK_IN, CHECK_OUT, GUESTS, carrier, STARS, PRICE, DISTANCE)
        ),
    }  # fmt: skip
