"""Query parameters: read strictly into the type that describes them, every bad one told at once.

A search is a frozen dataclass whose fields are its parameters: their types read them, their descriptions say what is
allowed, here and in `/openapi.json`. Code that has its values already makes one without any of this.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date, time
from difflib import get_close_matches
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, ValidationInfo, WithJsonSchema
from starlette.datastructures import QueryParams

from search_service.problems import InvalidParametersError, ParameterProblem, shortened
from search_service.source import FIRST_DAY, LAST_DAY

DEFAULT_LIMIT = 20
LARGEST_LIMIT = 100

CODE = "the three-letter IATA code of an airport, such as JFK (/airports?q= finds it)"
CARRIER = "the two-character IATA code of a carrier, such as AA"
CLOCK = "a time on the clock at the origin as HH:MM, from 00:00 to 23:59"
AMOUNT = "an amount of 0 or more, with at most two digits after the point, such as 199.99"
DAYS = f"a day as YYYY-MM-DD, from {FIRST_DAY} to {LAST_DAY}"
LIMIT = f"a whole number from 1 to {LARGEST_LIMIT}"

_CARRIER = re.compile("^[A-Za-z0-9]{2}$")
_CLOCK = re.compile("^([01][0-9]|2[0-3]):[0-5][0-9]$")
_AMOUNT = re.compile(r"^[0-9]{1,9}(\.[0-9]{1,2})?$")

T = TypeVar("T")


class NotAllowedError(ValueError):
    """A value that a parameter cannot have; `reason` and `allowed` as in `ParameterProblem`."""

    def __init__(self, reason: str, allowed: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.allowed = allowed


class Parameters(Generic[T]):
    """The query parameters of an endpoint.

    Args:
        kind: a dataclass with a field for each, of a type that pydantic can read from text.

    Attributes:
        schema: describes the dataclass in JSON Schema.
    """

    def __init__(self, kind: type[T]) -> None:
        self.adapter: TypeAdapter[T] = TypeAdapter(kind)
        self.schema: dict[str, Any] = self.adapter.json_schema()
        self._allowed: dict[str, str] = {
            name: described["description"] for name, described in self.schema["properties"].items()
        }

    def read(self, query: QueryParams, state: Any) -> T:
        """What a client asks for; the validators of the fields find `state` in their context.

        Raises:
            InvalidParametersError: with everything that is wrong with it.
        """
        strangers = dict(self._strangers(query))
        values = {name: value for name, value in query.items() if name not in strangers}
        problems = list(strangers.values())
        try:
            found = self.adapter.validate_python(values, context=state)
        except ValidationError as error:
            problems += self._problems(error, query)
        if problems:
            raise InvalidParametersError(problems)
        return found

    def _strangers(self, query: QueryParams) -> Iterator[tuple[str, ParameterProblem]]:
        """Names that the endpoint does not know, and those that are given twice, with what is wrong about them."""
        for name in query:
            given = query.getlist(name)
            value = shortened(", ".join(given))
            if name not in self._allowed:
                yield name, ParameterProblem(shortened(name), value, self._unknown(name), ", ".join(self._allowed))
            elif len(given) > 1:
                yield name, ParameterProblem(name, value, f"is given {len(given)} times", "one value")

    def _unknown(self, name: str) -> str:
        nearest = get_close_matches(name.lower(), self._allowed, n=1)
        return f"is no parameter here{f'; perhaps {nearest[0]} is meant' if nearest else ''}"

    def _problems(self, error: ValidationError, query: QueryParams) -> Iterator[ParameterProblem]:
        for each in error.errors(include_url=False):
            name = str(each["loc"][0])
            allowed = self._allowed[name]
            cause = each.get("ctx", {}).get("error")
            if isinstance(cause, NotAllowedError):
                yield ParameterProblem(name, shortened(query[name]), cause.reason, cause.allowed)
            elif name not in query:
                yield ParameterProblem(name, None, "is missing", allowed)
            elif len(query.getlist(name)) == 1:
                yield ParameterProblem(name, shortened(query[name]), "is not allowed", allowed)


def _read_code(value: str, info: ValidationInfo) -> str:
    state: Any = info.context
    return str(state.airports.read_code(value))


def _read_limit(value: str) -> int:
    limit = int(value) if re.fullmatch(r"[0-9]{1,9}", value) else 0
    if not 1 <= limit <= LARGEST_LIMIT:
        raise NotAllowedError("is no page size", LIMIT)
    return limit


def _read_carrier(value: str) -> str:
    if not _CARRIER.fullmatch(value):
        raise NotAllowedError("is no carrier", CARRIER)
    return value.upper()


def _read_clock(value: str) -> time:
    if not _CLOCK.fullmatch(value):
        raise NotAllowedError("is no time of day", CLOCK)
    return time.fromisoformat(value)


def _read_amount(value: str) -> float:
    if not _AMOUNT.fullmatch(value):
        raise NotAllowedError("is no amount", AMOUNT)
    return float(value)


def _read_day(value: str) -> date:
    try:
        day = date.fromisoformat(value) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value) else None
    except ValueError:
        day = None
    if day is None:
        raise NotAllowedError("is no date", DAYS)
    if not FIRST_DAY <= day <= LAST_DAY:
        raise NotAllowedError("is outside the timetable", DAYS)
    return day


def one_of(names: Sequence[str]) -> str:
    """The names, as a list in a sentence."""
    return f"{', '.join(names[:-1])} or {names[-1]}"


_TEXT = {"type": "string"}

Day = Annotated[date, BeforeValidator(_read_day), WithJsonSchema({**_TEXT, "format": "date"}), Field(description=DAYS)]
"""A day of the timetable."""

Code = Annotated[str, BeforeValidator(_read_code), WithJsonSchema({**_TEXT, "pattern": "^[A-Za-z]{3}$"})]
"""The code of an airport, in whatever case."""

CarrierCode = Annotated[str, BeforeValidator(_read_carrier), WithJsonSchema({**_TEXT, "pattern": _CARRIER.pattern})]
Clock = Annotated[time, BeforeValidator(_read_clock), WithJsonSchema({**_TEXT, "pattern": _CLOCK.pattern})]
Amount = Annotated[float, BeforeValidator(_read_amount), WithJsonSchema({**_TEXT, "pattern": _AMOUNT.pattern})]
Limit = Annotated[
    int,
    BeforeValidator(_read_limit),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT}),
    Field(description=LIMIT),
]
