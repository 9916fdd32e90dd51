"""Rates and quantiles from what a histogram has counted."""

import pytest

from lmservice.console.traffic import WINDOW, Traffic, quantile
from lmservice.telemetry.metrics import BUCKETS, Durations


class Clock:
    """Seconds that only grow when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rates_are_those_of_the_last_few_seconds_and_totals_those_since_the_start() -> None:
    clock, durations = Clock(), Durations("d", "d", ("m", "r", "s"))
    for _ in range(7):
        durations.child("GET", "/a", "200").observe(0.002)
    traffic = Traffic(durations, clock)
    traffic.begin()
    for status, count in (("200", 15), ("503", 5)):
        for _ in range(count):
            durations.child("GET", "/a", status).observe(0.002)
    clock.now += 2
    report = traffic.report()
    (route,) = report["routes"]
    assert (route["rate"], route["errors"], route["served"], route["failed"]) == (10, 0.25, 27, 5)
    assert (report["all"]["rate"], report["all"]["served"]) == (10, 27)
    clock.now += WINDOW
    traffic.report()
    clock.now += WINDOW
    assert traffic.report()["routes"][0]["rate"] == 0


def test_the_busiest_route_comes_first() -> None:
    clock, durations = Clock(), Durations("d", "d", ("m", "r", "s"))
    traffic = Traffic(durations, clock)
    traffic.begin()
    for route, count in (("/few", 1), ("/many", 9)):
        for _ in range(count):
            durations.child("GET", route, "200").observe(0.1)
    clock.now += 1
    assert [each["route"] for each in traffic.report()["routes"]] == ["/many", "/few"]


@pytest.mark.parametrize(
    ("observed", "share", "expected"),
    [
        ({0: 10}, 0.5, 0.0005),
        ({0: 50, 6: 50}, 0.99, 0.05 + 0.05 * 0.98),
        ({len(BUCKETS): 3}, 0.5, BUCKETS[-1]),
        ({}, 0.5, None),
        ({3: 1}, 1.0, 0.01),
    ],
)
def test_a_quantile_is_interpolated_within_its_bucket(
    observed: dict[int, int], share: float, expected: float | None
) -> None:
    counts = [observed.get(bucket, 0) for bucket in range(len(BUCKETS) + 1)]
    assert quantile(counts, share) == (pytest.approx(expected) if expected is not None else None)
