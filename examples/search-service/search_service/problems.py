"""Problems that a client can mend, as problem documents (RFC 9457)."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any, TypedDict

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

RETRY_AFTER = "1"
"""When what has failed is worth another try, in seconds."""

LONGEST_ECHO = 100
"""Characters of what a client sent that are repeated to it."""


_log = logging.getLogger(__name__)


class Problem(TypedDict):
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


class InvalidParameters(Problem):
    """What is wrong with a request, all of it."""

    errors: list[ParameterProblem]


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
    return _document(request, HTTPStatus.UNPROCESSABLE_ENTITY, str(error), errors=list(map(asdict, error.problems)))


async def unavailable(request: Request, error: Exception) -> Response:
    """Answers what will pass: the client may try again a little later."""
    _log.warning("search refused", extra={"error": f"{type(error).__name__}: {error}"})
    answer = _document(request, HTTPStatus.SERVICE_UNAVAILABLE, "the search cannot be answered now: try again later")
    answer.headers["retry-after"] = RETRY_AFTER
    return answer


def _document(request: Request, status: HTTPStatus, detail: str, **more: Any) -> Response:
    document = Problem(
        type="about:blank",
        title=_TITLES.get(status, status.phrase),
        status=status.value,
        detail=detail,
        request_id=request.state.request_id,
    )
    return Response(to_json({**document, **more}), status.value, media_type="application/problem+json")


_TITLES = {HTTPStatus.UNPROCESSABLE_ENTITY: "Unprocessable Content"}
"""RFC 9110's, where Python still has an older one."""
