"""What somebody is shown who watches a service of several workers."""

import http.client
import json
import os
import signal
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from processes import ServiceProcess
from strict_client import request_bytes
from workers.conftest import each_worker, pids, wait_until

Start = Callable[..., ServiceProcess]
Event = tuple[str, dict[str, Any]]
READY = [(1, "ready"), (2, "ready")]
GONE = [(1, "stopped"), (2, "ready")]


@contextmanager
def watching(service: ServiceProcess) -> Iterator[Iterator[Event]]:
    """The events: the name and the data of each."""
    with urllib.request.urlopen(f"{service.management_url}/events", timeout=30) as response:
        yield _events(response)


def _events(response: http.client.HTTPResponse) -> Iterator[Event]:
    name = ""
    for line in response:
        word, _, data = line.decode().rstrip("\n").partition(": ")
        if word == "event":
            name = data
        elif word == "data":
            yield name, json.loads(data)


def until(events: Iterator[Event], wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """The first picture of the next ones that is as wanted."""
    for _, (name, data) in zip(range(30), events, strict=False):
        if name == "picture" and wanted(data):
            return data
    pytest.fail("none of 30 pictures is as wanted")


def shown(picture: dict[str, Any]) -> list[tuple[int, str]]:
    return [(each["worker"], each["state"]) for each in picture["workers"]]


def served(picture: dict[str, Any]) -> dict[str, int]:
    return {each["route"]: each["served"] for each in picture["traffic"]["routes"]}


def test_an_observer_is_shown_the_traffic_of_all_workers_and_their_start_at_once(service: ServiceProcess) -> None:
    with each_worker(service) as connections:
        for connection in connections.values():
            assert connection.request("/slow/0").status == 200
        with watching(service) as events:
            name, hello = next(events)
            assert (name, hello["info"]["name"]) == ("hello", "workers")
            name, first = next(events)
            assert (name, first["state"], first["ready"], shown(first)) == ("picture", "ready", True, READY)
            assert served(first)["/slow/{seconds}"] == 2
            assert {job["status"] for job in first["startup"]["jobs"]} == {"done"}
            assert [(check["name"], check["status"]) for check in first["checks"]] == [("reachable", "up")]
            for connection in connections.values():
                for _ in range(10):
                    assert connection.request("/slow/0.01").status == 200
            later = until(events, lambda picture: served(picture)["/slow/{seconds}"] == 22)
            everything = later["traffic"]["all"]
            assert everything["rate"] == pytest.approx(sum(each["rate"] for each in later["workers"]), abs=0.1)
            assert min(each["rate"] for each in later["workers"]) > 0
            assert everything["p50"] > 0.005
            assert {each["worker"] for each in later["slowest"]} == {1, 2}
            for connection in connections.values():
                connection.send(request_bytes("/slow/20"))
            busy = until(events, lambda picture: picture["traffic"]["all"]["in_flight"] == 2)
            assert {each["worker"] for each in busy["traffic"]["waiting"]} == {1, 2}


def test_a_worker_that_is_killed_is_replaced_in_the_picture_and_what_it_answered_stays(service: ServiceProcess) -> None:
    with watching(service) as events:
        with each_worker(service) as connections:
            for connection in connections.values():
                for _ in range(5):
                    assert connection.request("/slow/0").status == 200
        wait_until(lambda: answered(service) == 10)
        until(events, lambda picture: served(picture).get("/slow/{seconds}") == 10)
        victim = pids(service)[1]
        os.kill(victim, signal.SIGKILL)
        found = until(events, lambda picture: shown(picture) == READY and picture["workers"][0]["pid"] != victim)
        first, other = found["workers"]
        assert (first["deaths"], first["last_death"]["signal"]) == (1, "SIGKILL")
        assert 0 <= found["at"] - first["last_death"]["at"] < 30
        assert (other["deaths"], other["last_death"]) == (0, None)
        assert served(found)["/slow/{seconds}"] == 10
        with each_worker(service) as connections:
            for connection in connections.values():
                assert connection.request("/slow/0").status == 200
        until(events, lambda picture: served(picture)["/slow/{seconds}"] == 12)


def test_a_place_whose_workers_keep_dying_is_shown_while_nobody_is_in_it(start_workers: Start, tmp_path: Path) -> None:
    flag = tmp_path / "die"
    service = start_workers(DIES=str(flag)).wait_ready()
    with watching(service) as events:
        flag.touch()
        os.kill(pids(service)[1], signal.SIGKILL)
        found = until(events, lambda picture: picture["workers"][0]["deaths"] >= 3 and shown(picture) == GONE)
    line = found["workers"][0]
    assert (line["last_death"]["exit_code"], line["ready"], line["rate"], line["in_flight"]) == (9, False, 0, 0)


def answered(service: ServiceProcess) -> float:
    text = service.manage("/metrics")[1].splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in text if "duration_seconds_count" in line and "/slow" in line)


def test_a_worker_that_stands_still_shows_as_lag(service: ServiceProcess) -> None:
    victim = pids(service)[2]
    with watching(service) as events:
        os.kill(victim, signal.SIGSTOP)
        try:
            found = until(events, lambda picture: picture["event_loop"]["lag"] > 3)
        finally:
            os.kill(victim, signal.SIGCONT)
    assert found["workers"][1]["lag"] > 3 > found["workers"][0]["lag"]


def test_a_drain_is_shown_with_what_holds_it_up_in_each_worker_and_its_end(service: ServiceProcess) -> None:
    with each_worker(service) as connections, watching(service) as events:
        for connection in connections.values():
            connection.send(request_bytes("/slow/8"))
        until(events, lambda picture: picture["traffic"]["all"]["in_flight"] == 2)
        report = service.begin_stop()
        held = until(events, lambda picture: holders(picture) == {1, 2})
        assert held["state"] == "draining"
        for connection in connections.values():
            assert connection.receive().status == 200
        *_, (name, end) = events
    assert (name, end["state"], end["report"]) == ("end", "stopped", report.result())


def holders(picture: dict[str, Any]) -> set[int]:
    """The workers of the connections that hold up the drain."""
    connections = (picture["drain"] or {}).get("connections") or {"each": []}
    return {each["worker"] for each in connections["each"]}


def test_nothing_is_collected_once_nobody_watches(start_workers: Start) -> None:
    service = start_workers().wait_ready()
    with each_worker(service) as connections:

        def collecting() -> set[bytes]:
            return {connection.request("/watched").body for connection in connections.values()}

        assert collecting() == {b""}
        with watching(service) as events:
            until(events, lambda picture: shown(picture) == READY)
            assert collecting() == {b"Observation and Slowest"}
        wait_until(lambda: collecting() == {b""})


def test_a_start_that_fails_is_shown_as_it_failed(start_workers: Start) -> None:
    service = start_workers(FAILS="2", FAILS_AFTER="3")
    service.wait_answering("/livez", 200)
    with watching(service) as events:
        _, *pictures, (last, picture), (name, end) = events
    assert (last, name, picture["state"], picture["startup"]["worker"]) == ("picture", "end", "failed", 2)
    failed = "start-up job 'database' failed: RuntimeError: no database"
    assert (picture["failure"], end["report"]["exit_code"]) == (f"worker 2 did not start: {failed}", 3)
    (job,) = (job for job in picture["startup"]["jobs"] if job["status"] == "failed")
    assert (job["name"], job["failure"]) == ("database", "RuntimeError: no database")
    jobs = [job for _, each in [*pictures, (last, picture)] for job in each["startup"]["jobs"]]
    assert {job["attempts_allowed"] for job in jobs} == {1}


def test_a_browser_is_given_the_page(service: ServiceProcess) -> None:
    request = urllib.request.Request(f"{service.management_url}/", headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=20) as response:
        assert b"console.js" in response.read()
