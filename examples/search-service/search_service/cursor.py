"""Pages of results, and cursors: where a page ends, opaque to the client.

A cursor names the last result of its page rather than a row number, so it stays right when the timetable is imported
again. It also holds the search that it belongs to and a checksum; neither is a secret.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from hashlib import blake2b
from typing import Any, Protocol, TypeVar

from pydantic import ValidationInfo

from search_service.parameters import NotAllowedError

CHECKSUM_BYTES = 8

CURSOR = "the next_cursor of a page of the same search"

_WRITTEN = re.compile("[A-Za-z0-9_-]+")
_PAYLOAD = re.compile(rb"[!-~]+(?: [!-~]+)+")


T = TypeVar("T")
P = TypeVar("P", bound=tuple[int | str, ...])


class Search(Protocol):
    """What is asked for in pages; as text, a word that is the same for every page."""

    @property
    def limit(self) -> int:
        """The most that a page holds."""

    @property
    def cursor(self) -> Any:
        """The position of the last result of the page before; None for the first page."""


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
    if not _WRITTEN.fullmatch(cursor):  # Pythons read other characters differently, 3.15 with a warning
        raise CursorError
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


def reader(position: type[P], search: Callable[[], type[Any]]) -> Callable[[str, ValidationInfo], P | None]:
    """What reads a search's cursor, its last parameter.

    Args:
        position: a named tuple, of which a cursor spells the parts out.
        search: gives the dataclass of the search, which the parameter is a part of.
    """

    def read(value: str, info: ValidationInfo) -> P | None:
        try:
            asked, parts = decode(value)
            kinds = position.__annotations__.values()
            found = position(*(kind(part) for kind, part in zip(kinds, parts, strict=True)))
        except (CursorError, ValueError):
            raise NotAllowedError("is no cursor", CURSOR) from None
        if len(info.data) < len(fields(search())) - 1:
            return None  # of a search that is refused already
        if asked != str(search()(**info.data)):
            raise NotAllowedError("belongs to another search", CURSOR)
        return found

    return read


def key(search: Search) -> str:
    """The search in a word, its page included."""
    return f"{search}&{search.limit}&{search.cursor and '/'.join(map(str, search.cursor))}"


def cut(search: Search, found: Sequence[T], place: Callable[[T], Any]) -> tuple[list[T], str | None]:
    """The page that a search asks for, and the cursor of the next one; None on the last.

    Args:
        search: says where the page begins, and how long it is.
        found: all that the search finds, in its order.
        place: gives a result's position in it.
    """
    start = 0 if search.cursor is None else bisect_right(found, search.cursor, key=place)
    shown = list(found[start : start + search.limit])
    complete = start + len(shown) == len(found)
    return shown, None if complete else encode(str(search), place(shown[-1]))


def _checksum(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=CHECKSUM_BYTES, person=b"search cursor").digest()
