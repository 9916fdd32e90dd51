"""How large a request's head is, written without more spaces than it needs, and how large it may be."""

from http import HTTPStatus
from typing import Final

from lmservice.web.parsing import Refused
from lmservice.web.patience import Limits

_LINE: Final = len("  HTTP/1.1\r\n")
_FIELD: Final = len(": \r\n")
_END: Final = len("\r\n")
_LEAST_METHOD: Final = "GET"

Fields = list[tuple[bytes, bytes]]


def of(method: str, url: bytes, fields: Fields) -> int:
    """Return the size of a head, in bytes."""
    return len(method) + len(url) + _LINE + sum(len(name) + len(value) + _FIELD for name, value in fields) + _END


def check_whole(method: str, url: bytes, fields: Fields, limits: Limits) -> None:
    """Refuse a head that is too large.

    Raises:
        Refused: with 414 where the request line alone is, else 431.
    """
    _check_parts(method, url, fields, limits)
    _check_size(of(method, url, fields), limits)


def check_partial(size: int, url: bytes, fields: Fields, limits: Limits) -> None:
    """Refuse a head of which so many bytes have come, and not all.

    Raises:
        Refused: as `check_whole`.
    """
    _check_parts(_LEAST_METHOD, url, fields, limits)
    _check_size(size, limits)


def _check_parts(method: str, url: bytes, fields: Fields, limits: Limits) -> None:
    if len(method) + len(url) + _LINE > limits.head_size:
        raise line_too_long(limits.head_size)
    if len(fields) > limits.headers:
        raise _too_large(f"the head has more fields than LM_MAX_HEADERS allows: {limits.headers}")


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.head_size:
        raise _too_large(f"the head is larger than LM_MAX_HEAD_SIZE allows: {limits.head_size} bytes")


def line_too_long(limit: int) -> Refused:
    """Return why a request line is refused that is longer than this, in bytes."""
    detail = f"the request line is longer than LM_MAX_HEAD_SIZE allows: {limit} bytes"
    return Refused(HTTPStatus.REQUEST_URI_TOO_LONG, detail, "head_size")


def _too_large(detail: str) -> Refused:
    return Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail, "head_size")
