"""Query parameters: each read strictly, every bad one told at once."""

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import TypeVar

from starlette.datastructures import QueryParams

from search_service.problems import ParameterProblem, shortened

DEFAULT_LIMIT = 20
LARGEST_LIMIT = 100

T = TypeVar("T")


class NotAllowedError(ValueError):
    """A value that a parameter cannot have; `reason` and `allowed` as in `ParameterProblem`."""

    def __init__(self, reason: str, allowed: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.allowed = allowed


class Parameters:
    """The query parameters of one request, and in `problems` what has been found wrong with them.

    Args:
        query: the parameters as they came.
        known: the names that the endpoint knows; another one is wrong, and so is one that is given twice.
    """

    def __init__(self, query: QueryParams, known: Sequence[str]) -> None:
        self._query = query
        self.problems: list[ParameterProblem] = []
        for name in dict.fromkeys(query):
            times = len(query.getlist(name))
            if name not in known:
                self._refuse_unknown(name, known)
            elif times > 1:
                self.refuse(name, NotAllowedError(f"is given {times} times", "one value"))

    def required(self, name: str, read: Callable[[str], T], allowed: str) -> T | None:
        """The value that `read` makes of a parameter; None where it is missing or `read` does not allow it."""
        if name not in self._query:
            self.refuse(name, NotAllowedError("is missing", allowed))
            return None
        return self.optional(name, read, None)

    def optional(self, name: str, read: Callable[[str], T], default: T) -> T:
        """The value that `read` makes of a parameter; `default` where there is none or `read` does not allow it."""
        values = self._query.getlist(name)
        if len(values) != 1:
            return default
        try:
            return read(values[0])
        except NotAllowedError as error:
            self.refuse(name, error)
            return default

    def refuse(self, name: str, error: NotAllowedError) -> None:
        """Notes that a parameter is wrong."""
        value = shortened(", ".join(self._query.getlist(name))) if name in self._query else None
        self.problems.append(ParameterProblem(shortened(name), value, error.reason, error.allowed))

    def _refuse_unknown(self, name: str, known: Sequence[str]) -> None:
        nearest = get_close_matches(name.lower(), known, n=1)
        hint = f"; perhaps {nearest[0]} is meant" if nearest else ""
        self.refuse(name, NotAllowedError(f"is no parameter here{hint}", ", ".join(known)))


def read_limit(value: str) -> int:
    """How many results a page holds."""
    limit = int(value) if re.fullmatch(r"[0-9]{1,9}", value) else 0
    if not 1 <= limit <= LARGEST_LIMIT:
        raise NotAllowedError("is no page size", f"a whole number from 1 to {LARGEST_LIMIT}")
    return limit
