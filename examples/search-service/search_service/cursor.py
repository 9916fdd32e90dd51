"""Cursors: where a page of flights ends, opaque to the client.

A cursor names the last flight of its page rather than a row number, so it stays right when the timetable is imported
again. It also holds the search that it belongs to and a checksum; neither is a secret.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import NamedTuple

CHECKSUM_BYTES = 8

_PAYLOAD = re.compile(rb"([!-~]+) ([0-9]{1,12}) ([A-Z0-9]+) ([0-9]{1,9})")


class Position(NamedTuple):
    """A flight's place in a day's order; compares as the flights are sorted."""

    departure: int
    carrier: str
    number: int


class CursorError(ValueError):
    """Not a cursor that was handed out."""


def encode(search: str, position: Position) -> str:
    """The cursor behind the flight at `position` among the results of `search`, a word without spaces."""
    payload = " ".join([search, *map(str, position)]).encode()
    return urlsafe_b64encode(_checksum(payload) + payload).rstrip(b"=").decode()


def decode(cursor: str) -> tuple[str, Position]:
    """The search and the position that `encode` wrote.

    Raises:
        CursorError: it is broken.
    """
    try:
        decoded = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError as error:
        raise CursorError from error
    parts = _PAYLOAD.fullmatch(decoded[CHECKSUM_BYTES:])
    if parts is None:
        raise CursorError
    search, departure, carrier, number = (part.decode() for part in parts.groups())
    position = Position(int(departure), carrier, int(number))
    if encode(search, position) != cursor:  # the checksum; and base64 is read leniently, and is not to be
        raise CursorError
    return search, position


def _checksum(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=CHECKSUM_BYTES, person=b"flights cursor").digest()
