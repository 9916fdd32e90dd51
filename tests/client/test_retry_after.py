import httpx
import pytest

from lmservice.client.retry_after import retry_after

NOON = 1_700_000_000.0
"""2023-11-14, 22:13:20 UTC."""


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30),
        ("Tuesday, 14-Nov-23 22:13:50 GMT", 30),
        ("Tue Nov 14 22:13:50 2023", 30),
        ("Tue, 14 Nov 2023 22:13:50 -0000", 30),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("soon", None),
        ("9" * 400, float("inf")),
        ("Sat, 14 Nov 99999999999999999999 22:13:50 GMT", None),
        ("", None),
        ("Tue, 99 Nov 2023 22:13:50 GMT", None),
    ],
)
def test_it_is_read_as_the_rfc_says(given: str, seconds: float | None) -> None:
    response = httpx.Response(503, headers=[(b"Retry-After", given.encode("latin-1"))])
    assert retry_after(response, lambda: NOON) == seconds


def test_none_is_none() -> None:
    assert retry_after(httpx.Response(503)) is None
