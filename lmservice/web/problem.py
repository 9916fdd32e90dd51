"""Errors as a client reads them: problem documents (RFC 9457) with the member `request_id`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from pydantic_core import to_json

from lmservice.web.phrases import PHRASES

MEDIA_TYPE: Final = "application/problem+json"
EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})


def problem(status: int, detail: str, request_id: str, more: Mapping[str, Any] = EMPTY) -> bytes:
    """Return the document of an error.

    Args:
        status: the answer's; its phrase (RFC 9110 §15) is the title.
        detail: what went wrong, for the person at the other end: no secret and no stack.
        request_id: under which the log knows the request.
        more: what else it says (RFC 9457 §3.2).
    """
    return to_json({**members(status, detail, request_id), **more})


def members(status: int, detail: str, request_id: str) -> dict[str, Any]:
    """Return the members of an error's document, of the same arguments."""
    title = PHRASES.get(status, "Error")
    return {"type": "about:blank", "title": title, "status": int(status), "detail": detail, "request_id": request_id}
