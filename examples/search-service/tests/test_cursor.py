import string
from base64 import urlsafe_b64encode
from hashlib import blake2b

import pytest
from search_service.cursor import CHECKSUM_BYTES, CursorError, decode, encode

SEARCH = "JFK-LAX-2013-07-04"
POSITION: list[int | str] = [-8123, 1_372_935_600, "B6", 23]
CURSOR = encode(SEARCH, POSITION)


def test_a_cursor_gives_back_its_search_and_position() -> None:
    assert decode(CURSOR) == (SEARCH, ["-8123", "1372935600", "B6", "23"])


def test_a_cursor_needs_no_escaping_in_a_url() -> None:
    assert set(CURSOR) <= set(string.ascii_letters + string.digits + "-_")


@pytest.mark.parametrize("at", range(len(CURSOR)))
def test_a_cursor_with_one_character_changed_is_broken(at: int) -> None:
    changed = CURSOR[:at] + ("A" if CURSOR[at] != "A" else "B") + CURSOR[at + 1 :]
    with pytest.raises(CursorError):
        decode(changed)


@pytest.mark.parametrize(
    "broken",
    ["", "x", "é", "=", CURSOR[:-1], CURSOR + "A", CURSOR + "=", f" {CURSOR}", f"{CURSOR}/", f"+{CURSOR}", "A" * 999],
)
def test_what_was_never_handed_out_is_broken(broken: str) -> None:
    with pytest.raises(CursorError):
        decode(broken)


@pytest.mark.parametrize("payload", [b"", b"JFK", b"JFK ", b" 1", b"JFK-LAX  1", b"JFK-LAX 1\n", b"\xff 1"])
def test_a_forged_cursor_that_makes_no_sense_is_broken(payload: bytes) -> None:
    checksum = blake2b(payload, digest_size=CHECKSUM_BYTES, person=b"search cursor").digest()
    with pytest.raises(CursorError):
        decode(urlsafe_b64encode(checksum + payload).rstrip(b"=").decode())
