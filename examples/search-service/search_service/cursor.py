"""Cursors: where a page of results ends, opaque to the client.

A cursor names the last result of its page rather than a row number, so it stays right when the timetable is imported
again. It also holds the search that it belongs to and a checksum; neither is a secret.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from hashlib import blake2b

CHECKSUM_BYTES = 8

_PAYLOAD = re.compile(rb"[!-~]+(?: [!-~]+)+")


class CursorError(ValueError):
    """Not a cursor that was handed out."""


def encode(search: str, position: Iterable[int | str]) -> str:
    """The cursor behind `position` among the results of `search`; words of ASCII without spaces, and numbers."""
    payload = " ".join([search, *map(str, position)]).encode()
    return urlsafe_b64encode(_checksum(payload) + payload).rstrip(b"=").decode()


def decode(cursor: str) -> tuple[str, list[str]]:
    """The search and the position that `encode` wrote, the latter's parts spelled out.

    Raises:
        CursorError: it is broken.
    """
    try:
        decoded = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError as error:
        raise CursorError from error
    payload = decoded[CHECKSUM_BYTES:]
    if not _PAYLOAD.fullmatch(payload):
        raise CursorError
    search, *position = payload.decode().split(" ")
    if encode(search, position) != cursor:  # the checksum; and base64 is read leniently, and is not to be
        raise CursorError
    return search, position


def _checksum(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=CHECKSUM_BYTES, person=b"search cursor").digest()
