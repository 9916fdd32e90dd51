"""Errors as a client reads them: problem documents (RFC 9457) with the member `request_id`."""

from typing import Final

from pydantic_core import to_json

from lmservice.web.phrases import PHRASES

MEDIA_TYPE: Final = "application/problem+json"


def problem(status: int, detail: str, request_id: str) -> bytes:
    """Return the document of an error.

    Args:
        status: the answer's; its phrase (RFC 9110 §15) is the title.
        detail: what went wrong, for the person at the other end: no secret and no stack.
        request_id: under which the log knows the request.
    """
    title = PHRASES.get(status, "Error")
    return to_json(
        {"type": "about:blank", "title": title, "status": int(status), "detail": detail, "request_id": request_id}
    )
