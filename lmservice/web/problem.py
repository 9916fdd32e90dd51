"""Errors as a client reads them: problem documents (RFC 9457) with the member `request_id`."""

from http import HTTPStatus
from typing import Final

from pydantic_core import to_json

MEDIA_TYPE: Final = "application/problem+json"

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


def problem(status: int, detail: str, request_id: str) -> bytes:
    """Return the document of an error.

    Args:
        status: the answer's; its phrase is the title.
        detail: what went wrong, for the person at the other end: no secret and no stack.
        request_id: under which the log knows the request.
    """
    title = _PHRASES.get(status, "Error")
    return to_json(
        {"type": "about:blank", "title": title, "status": int(status), "detail": detail, "request_id": request_id}
    )
