"""What the probes say of several workers."""

from itertools import permutations

import pytest

from lmservice.workers.exchange import Progress
from lmservice.workers.merge_progress import merged

NOTHING: Progress = {"startup_jobs": {}, "checks": {}, "periodic_jobs": {}}


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        (("unknown", "up"), "up"),
        (("unknown", "down"), "down"),
        (("unknown", "up", "down"), "down"),
        (("unknown", "unknown"), "unknown"),
    ],
    ids=lambda each: " and ".join(each) if isinstance(each, tuple) else each,
)
def test_a_check_is_unknown_only_where_no_worker_knows_it(statuses: tuple[str, ...], status: str) -> None:
    for each in permutations(statuses):
        found = merged([{**NOTHING, "checks": {"database": {"status": one}}} for one in each])
        assert found["checks"] == {"database": {"status": status}}
