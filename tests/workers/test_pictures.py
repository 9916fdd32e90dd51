"""Workers' pictures told as one, section by section."""

from typing import Any

import pytest

from lmservice.console.slowest import KEPT
from lmservice.console.traffic import Traffic
from lmservice.telemetry.metrics import Durations, Metrics
from lmservice.workers import merge_picture, snapshot
from lmservice.workers.totals import answered


class Clock:
    """Seconds that only grow when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def drawn(*requests: tuple[str, str, float], waiting: tuple[float, ...] = ()) -> dict[str, Any]:
    """The traffic of a worker that has answered these within a second, each with its route, status and seconds."""
    clock, durations = Clock(), Durations("d", "d", ("m", "r", "s"))
    traffic = Traffic(durations, clock)
    traffic.begin()
    for route, status, seconds in requests:
        durations.child("GET", route, status).observe(seconds)
    clock.now += 1
    report = traffic.report()
    for each in (report["all"], *report["routes"]):
        each["in_flight"] = len(waiting)
    return {
        **report,
        "waiting": [{"seconds": each} for each in waiting],
        "rejected": {"timeout": 1},
        "limit": 10,
        "limited_by": ["/slow"],
    }


def test_rates_and_requests_in_flight_are_summed_by_route_and_the_busiest_comes_first() -> None:
    first = drawn(("/a", "200", 0.01), ("/b", "200", 0.01), waiting=(3.0, 1.0))
    found = merge_picture.traffic([first, drawn(*[("/b", "200", 0.01)] * 3, waiting=(2.0,))])
    routes = [(each["route"], each["rate"], each["served"], each["in_flight"]) for each in found["routes"]]
    assert routes == [("/b", 4, 4, 3), ("/a", 1, 1, 2)]
    assert (found["all"]["rate"], found["all"]["in_flight"]) == (5, 3)
    assert [each["seconds"] for each in found["waiting"]] == [3.0, 2.0, 1.0]
    assert (found["rejected"], found["limit"]) == ({"timeout": 2}, 20)
    assert found["limited_by"] == ["/slow"]
    assert "counts" not in found["all"]


def test_errors_and_quantiles_are_those_that_one_worker_would_have_told_of_all_requests() -> None:
    quick, slow = [("/a", "200", 0.004)] * 90, [("/a", "503", 0.8)] * 10
    found, alone = merge_picture.traffic([drawn(*quick), drawn(*slow)]), drawn(*quick, *slow)
    for name in ("errors", "p50", "p99", "failed"):
        assert found["all"][name] == found["routes"][0][name] == alone["all"][name]


def test_traffic_of_no_worker_is_none() -> None:
    found = merge_picture.traffic([merge_picture.of_ended(answered(b""))])
    assert (found["all"]["rate"], found["all"]["p99"], found["all"]["served"], found["routes"]) == (0, None, 0, [])


def test_what_a_worker_that_has_ended_had_answered_counts_and_has_no_rate() -> None:
    metrics = Metrics()
    for status in ("200", "500"):
        metrics.request_duration.child("GET", "/a", status).observe(0.01)
    ended = answered(snapshot.taken(metrics.registry))
    (route,) = merge_picture.traffic([drawn(("/a", "200", 0.01)), merge_picture.of_ended(ended)])["routes"]
    assert (route["served"], route["failed"], route["rate"], route["errors"]) == (3, 1, 1, 0)


def test_a_silent_worker_has_no_rates() -> None:
    part = drawn(("/a", "500", 0.01))
    merge_picture.silence(part)
    found = merge_picture.traffic([part])
    assert (found["all"]["rate"], found["all"]["errors"], found["all"]["p50"], found["all"]["served"]) == (
        0,
        0,
        None,
        1,
    )


def chart(*jobs: tuple[str, float]) -> dict[str, Any]:
    told = [{"status": status, "began": 0.0, "seconds": seconds} for status, seconds in jobs]
    return {"jobs": told, "critical_path": [], "limit": 60.0}


@pytest.mark.parametrize(
    "worse",
    [
        chart(("done", 2.0), ("done", 1.0)),
        chart(("done", 0.1), ("running", 0.1)),
        chart(("failed", 0.2), ("pending", 0.0)),
    ],
    ids=["took longer", "still starts", "failed"],
)
def test_the_start_is_that_of_the_worker_where_it_went_worst(worse: dict[str, Any]) -> None:
    assert merge_picture.startup([chart(("done", 1.0), ("done", 1.0)), worse]) is worse


def test_a_check_is_as_it_is_with_the_worker_worst_off() -> None:
    up, down = {"name": "database", "status": "up"}, {"name": "database", "status": "down", "error": "TimeoutError"}
    assert merge_picture.checks([[up], [down], [up]]) == [down]
    assert merge_picture.checks([]) == []


def job(status: str, began: str | None, last_success: str | None) -> dict[str, Any]:
    counts = {"runs": 2, "failures": 1, "skipped": 0}
    return {"name": "refresh", "status": status, "began": began, "last_success": last_success, **counts}


def test_a_periodic_job_has_the_runs_of_all_and_the_run_that_began_first() -> None:
    last = job("waiting", "2026-01-01T00:00:09Z", "2026-01-01T00:00:10Z")
    first = job("running", "2026-01-01T00:00:03Z", None)
    (found,) = merge_picture.periodic_jobs([[last], [first], [job("running", "2026-01-01T00:00:05Z", None)]])
    assert (found["status"], found["began"], found["last_success"]) == ("running", first["began"], last["last_success"])
    assert (found["runs"], found["failures"]) == (6, 3)
    assert merge_picture.periodic_jobs([[last], [job("waiting", None, None)]])[0]["began"] == last["began"]
    assert merge_picture.periodic_jobs([]) == []


def test_only_the_slowest_requests_of_all_are_told() -> None:
    found = merge_picture.slowest([[{"seconds": float(each)} for each in range(20)], [{"seconds": 19.5}]])
    assert [each["seconds"] for each in found[:3]] == [19.5, 19.0, 18.0]
    assert len(found) == KEPT


def host(breaker: str, rate: float, errors: float, mean: float | None) -> dict[str, Any]:
    known = {"client": "prices", "host": "http://prices", "breaker": breaker, "calls": 10, "failed": 2}
    return {**known, "rate": rate, "errors": errors, "mean": mean}


def test_a_host_has_the_worst_breaker_and_means_weighted_by_the_calls() -> None:
    (found,) = merge_picture.clients([[host("closed", 3.0, 0.0, 0.1)], [host("open", 1.0, 0.4, 0.5)], []])
    assert found == {**host("open", 4.0, 0.1, 0.2), "calls": 20, "failed": 4}
    (found,) = merge_picture.clients([[host("closed", 0.0, 0.0, None)], [host("half_open", 0.0, 0.0, None)]])
    assert (found["breaker"], found["errors"], found["mean"]) == ("half_open", 0, None)


def drain(phase: str, since: float, **held: Any) -> dict[str, Any]:
    return {"phase": phase, "phase_since": since, "periodic_jobs": [], "connections": None, "background": 0, **held}


def test_a_drain_is_at_what_the_worker_furthest_behind_is_at() -> None:
    drains = [drain("cleanup", 9.0), drain("drain", 5.0), drain("drain", 4.0)]
    assert merge_picture.phase(drains) == ("drain", 4.0)


def test_what_holds_up_a_drain_is_what_holds_up_any_worker() -> None:
    connections = {"open": 2, "websockets": 1, "each": [{"peer": "::1", "at": "idle", "worker": 1}]}
    found = merge_picture.holding(
        [
            drain("drain", 1.0, connections=connections, periodic_jobs=["refresh"], background=2),
            drain("drain", 1.0, connections={**connections, "each": []}, periodic_jobs=["refresh"], background=1),
            drain("cleanup", 1.0),
        ]
    )
    assert (found["periodic_jobs"], found["background"]) == (["refresh"], 3)
    assert found["connections"] == {"open": 4, "websockets": 2, "each": connections["each"]}
    assert merge_picture.holding([]) == {"periodic_jobs": [], "connections": None, "background": 0}
