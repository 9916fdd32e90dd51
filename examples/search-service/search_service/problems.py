"""Problems that a client can mend, as problem documents (RFC 9457)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

LONGEST_ECHO = 100
"""Characters of what a client sent that are repeated to it."""


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


def shortened(text: str) -> str:
    """`text` as it is repeated to the client."""
    return text if len(text) <= LONGEST_ECHO else f"{text[:LONGEST_ECHO]}…"


class InvalidParametersError(Exception):
    """Query parameters that cannot be answered, all of them."""

    def __init__(self, problems: Sequence[ParameterProblem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


async def answer(request: Request, error: Exception) -> Response:
    """Answers an `InvalidParametersError` as the problem that it is."""
    if not isinstance(error, InvalidParametersError):
        raise error
    status = 422
    document = {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": status,
        "detail": str(error),
        "errors": [asdict(problem) for problem in error.problems],
        "request_id": request.state.request_id,
    }
    return Response(to_json(document), status, media_type="application/problem+json")
