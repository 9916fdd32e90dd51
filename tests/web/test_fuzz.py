"""Damaged requests by the hundred; tests/harness/wire_fuzz.py does the same for as long as it is told."""

import pytest
from wire_fuzz import fuzz

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("seed", range(4))
async def test_no_damaged_request_makes_anything_escape(seed: int) -> None:
    statuses = await fuzz(seed, attempts=250)
    assert {200, 400} <= set(statuses)
