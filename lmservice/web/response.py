"""The head of a response, composed from parts that are known beforehand (RFC 9112 §4, §6.3)."""

import re
import time
from collections.abc import Iterable
from typing import Final, Protocol

from lmservice.web.phrases import PHRASES

_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROLS: Final = bytes({*range(32), 127} - set(b"\t"))
"""What no field may contain, and a head has at its line ends alone."""
EVENT_STREAM: Final = b"text/event-stream"
_MOST_NAMES: Final = 1000
"""So many different field names are remembered."""
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WITHOUT_LENGTH: Final = frozenset((204, *range(100, 200)))
_WITHOUT_BODY: Final = _WITHOUT_LENGTH | {304}

_ordinary: Final[dict[bytes, bytes]] = {}
"""How a line begins that has a field of this name: with the end of the line before."""


class Framed(Protocol):
    """A response as far as its head decides how the rest of it goes over the wire.

    Attributes:
        old: whether the client speaks HTTP/1.0, which knows no chunks.
        to_head: whether the request was HEAD, whose answer ends with its head.
        left: how many bytes of the body are still to come; None where nobody has said.
        chunked: whether the body goes in chunks.
        bodiless: whether no body is sent.
        keep_alive: whether the connection may take another request afterwards.
    """

    old: bool
    to_head: bool
    left: int | None
    chunked: bool
    bodiless: bool
    keep_alive: bool


class Beginnings:
    """The first two lines of responses, which are good for a second.

    Attributes:
        lines: those that were asked for in this second, by status.
    """

    def __init__(self) -> None:
        self._second = -1
        self._date = b""
        self.lines: dict[int, bytes] = {}

    def turn(self, now: float) -> None:
        """Look at the clock, in seconds since the epoch; to be called every half second or so."""
        if int(now) != self._second:
            self._second = int(now)
            self._date = date_line(now)
            self.lines.clear()

    def of(self, status: int) -> bytes:
        """Return status line and `Date`, without the end of the last line."""
        lines = self.lines.get(status)
        if lines is None:
            line = f"HTTP/1.1 {status:03} {PHRASES.get(status, '')}\r\n".encode()
            lines = self.lines[status] = line + self._date
        return lines


def date_line(now: float) -> bytes:
    """Return the field `Date` (RFC 9110 §6.6.1), as a line without its end."""
    year, month, day, hour, minute, second, weekday, *_ = time.gmtime(now)
    field = f"date: {_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year} {hour:02}:{minute:02}:{second:02} GMT"
    return field.encode()


def compose(
    response: Framed, status: int, headers: Iterable[tuple[bytes, bytes]], beginning: bytes, request_id: bytes = b""
) -> bytes:
    """Return a head as it goes over the wire, and note on `response` how the rest of it will.

    Args:
        response: what is known of it so far.
        status: a final one.
        headers: as the app gave them.
        beginning: the first two lines, without the end of the second.
        request_id: which `X-Request-ID` says, whatever the app says; '' leaves that to the app.

    Raises:
        RuntimeError: a field's name or value cannot be sent.
    """
    parts = [beginning]  # then two of each field, so that their number is the number of lines
    special: list[tuple[bytes, bytes]] | None = None
    length = b""
    for name, value in headers:
        begin = _ordinary.get(name)
        if begin is not None:
            parts += (begin, value)
        elif name == b"content-length":
            response.left, length = int(value) if value.isdigit() else length_of(value), value
        elif special is None:
            special = [(name, value)]
        else:
            special.append((name, value))
    connection = coding = b""
    if special is not None:
        connection, coding = _take_special(response, special, parts, request_id)
    if request_id:
        parts += (b"\r\nx-request-id: ", request_id)
    if coding or response.left is None or response.to_head or status in _WITHOUT_BODY:
        _frame(response, status, parts, coded=bool(coding))
    else:
        parts += (b"\r\ncontent-length: ", length or b"%d" % response.left)
    if connection or not response.keep_alive:
        parts += (b"\r\nconnection: ", connection if response.keep_alive else b"close")
    parts.append(b"\r\n\r\n")
    head = b"".join(parts)
    if len(head) - len(head.translate(None, _CONTROLS)) != len(parts) + 4:  # line ends are the only ones it may have
        _object(headers)
    return head


def _take_special(
    response: Framed, special: Iterable[tuple[bytes, bytes]], parts: list[bytes], request_id: bytes
) -> tuple[bytes, bytes]:
    """Take in what decides over the connection and the framing, and learn names that are new."""
    connection = coding = b""
    for sent, value in special:
        name = sent.lower()
        if name == b"connection":
            connection = connection + b", " + value if connection else value
            if b"close" in [word.strip() for word in value.lower().split(b",")]:
                response.keep_alive = False
        elif name == b"transfer-encoding":
            coding = value
        elif name == b"content-length":
            response.left = length_of(value)
        elif name == b"x-request-id":
            if not request_id:
                parts += (b"\r\nx-request-id: ", value)
        elif name == b"date":
            parts[0] = parts[0].partition(b"\r\n")[0] + b"\r\ndate: " + value
        else:
            parts += (_learn(sent), value)
    return connection, coding


def length_of(value: bytes) -> int:
    """Return what a `Content-Length` says: digits alone (RFC 9110 §8.6), where Python reads `1_0` and `+10` as well.

    Raises:
        RuntimeError: it says something else.
    """
    if not value.isdigit():
        raise RuntimeError(f"a response's Content-Length is a number of bytes, and not {value!r}")
    return int(value)


def _learn(name: bytes) -> bytes:
    if not _NAME.fullmatch(name):
        raise RuntimeError(f"a response cannot have a field of the name {name!r}")
    begin = b"\r\n" + name.lower() + b": "
    if len(_ordinary) < _MOST_NAMES:
        _ordinary[bytes(name)] = begin
    return begin


def _frame(response: Framed, status: int, parts: list[bytes], *, coded: bool) -> None:
    """Decide how a body goes whose length the app has not said, or that is none."""
    response.bodiless = response.to_head or status in _WITHOUT_BODY
    if response.left is not None and not coded and status not in _WITHOUT_LENGTH:
        parts += (b"\r\ncontent-length: ", b"%d" % response.left)
    elif status not in _WITHOUT_BODY:
        response.chunked = not response.old
        if response.chunked:
            parts += (b"\r\ntransfer-encoding: ", b"chunked")
        elif not response.bodiless:
            response.keep_alive = False  # the body ends where the connection does
    response.left = None


def _object(headers: Iterable[tuple[bytes, bytes]]) -> None:
    for name, value in headers:
        if len(value) != len(value.translate(None, _CONTROLS)):
            raise RuntimeError(f"the field {name.decode('latin-1')} of a response has a control character in it")
    raise RuntimeError("a field of a response has a control character in it")


def is_event_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a response with these headers is a stream of server-sent events."""
    kinds = [value.strip().lower() for name, value in headers if name.lower() == b"content-type"]
    return any(kind.startswith(EVENT_STREAM) for kind in kinds)
