"""Problems that a client can mend, as problem documents (RFC 9457)."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from search_service.market import NoAnswerError

TYPE = "about:blank"
"""The type of a problem that its status tells whole."""

RETRY_AFTER = "1"
"""When what has failed is worth another try, in seconds."""

LONGEST_ECHO = 100
"""Characters of what a client sent that are repeated to it."""


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem:
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str


@dataclass(frozen=True)
class ParameterProblem:
    """What is wrong with one query parameter.

    Attributes:
        parameter: its name.
        value: as it was given; None where it was not.
        reason: what is wrong, as the end of a sentence about the parameter.
        allowed: what would be right.
    """

    parameter: str
    value: str | None
    reason: str
    allowed: str

    def __str__(self) -> str:
        given = "" if self.value is None else f" {self.value!r}"
        return f"{self.parameter}{given} {self.reason}: allowed is {self.allowed}"


@dataclass(frozen=True)
class InvalidParameters(Problem):
    """What is wrong with a request, all of it."""

    errors: list[ParameterProblem]


PROBLEMS: dict[int, str | tuple[str, Any]] = {
    HTTPStatus.UNPROCESSABLE_ENTITY: ("Parameters that cannot be answered, all of them named", InvalidParameters),
    HTTPStatus.SERVICE_UNAVAILABLE: "Not now: try again later",
}
"""What every search may answer instead."""


def shortened(text: str) -> str:
    """`text` as it is repeated to the client."""
    return text if len(text) <= LONGEST_ECHO else f"{text[:LONGEST_ECHO]}…"


class InvalidParametersError(Exception):
    """Query parameters that cannot be answered, all of them."""

    def __init__(self, problems: Sequence[ParameterProblem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


async def invalid_parameters(request: Request, error: Exception) -> Response:
    """Answers an `InvalidParametersError`."""
    if not isinstance(error, InvalidParametersError):
        raise error
    status = HTTPStatus.UNPROCESSABLE_ENTITY  # whose phrase is RFC 9110's only from Python 3.13 on
    wrong = list(error.problems)
    return _answer(InvalidParameters(TYPE, "Unprocessable Content", status, str(error), _id(request), wrong))


async def unavailable(request: Request, error: Exception) -> Response:
    """Answers what will pass: the client may try again a little later."""
    _log.warning("search refused", extra={"error": f"{type(error).__name__}: {error}"})
    status, detail = HTTPStatus.SERVICE_UNAVAILABLE, f"{_missing(error)}: try again later"
    answer = _answer(Problem(TYPE, status.phrase, status, detail, _id(request)))
    answer.headers["retry-after"] = RETRY_AFTER
    return answer


def _missing(error: Exception) -> str:
    """What may be told of it: which inventories are missing, and nothing of what is behind them."""
    return str(error) if isinstance(error, NoAnswerError) else "the search cannot be answered now"


def _answer(problem: Problem) -> Response:
    return Response(to_json(problem), problem.status, media_type="application/problem+json")


def _id(request: Request) -> str:
    return str(request.state.request_id)
