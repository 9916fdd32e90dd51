"""The three probes: what they say, how they say it, and when."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import PROGRAM
from processes import ServiceProcess

from lmservice import Service

pytestmark = pytest.mark.anyio
PROBES = ["/livez", "/startupz", "/readyz"]
STARTING = (
    PROGRAM
    + """
import asyncio, pathlib
@service.startup_job
async def first(): ...
@service.startup_job(after=["first"])
async def second():
    while not pathlib.Path("go").exists():
        await asyncio.sleep(0.01)
@service.startup_job(after=["second"])
async def third(): ...
"""
)
BLOCKING = (
    PROGRAM
    + """
import pathlib, time
@service.startup_job
async def blocking():
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
"""
)


@pytest.mark.parametrize("path", PROBES)
async def test_a_probe_says_exactly_this(flights: Any, path: str) -> None:
    response = await (await flights()).management.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    assert set(body) == {"status", "state", "startup_jobs", "checks", "periodic_jobs"}
    assert (body["status"], body["state"]) == ("up", "ready")
    assert set(body["startup_jobs"]) == {"timetable"}
    job = body["startup_jobs"]["timetable"]
    assert set(job) == {"status", "attempts", "seconds"}
    assert (job["status"], job["attempts"]) == ("done", 1)
    assert 0 <= job["seconds"] < 5
    assert set(body["checks"]) == {"database"}
    assert body["periodic_jobs"]["refresh"] == {
        "status": "waiting",
        "runs": 0,
        "failures": 0,
        "skipped": 0,
        "last_success": None,
        "last_error": None,
        "seconds": None,
    }


@pytest.mark.parametrize("path", PROBES)
async def test_a_probe_answers_head_like_get_without_the_body(flights: Any, path: str) -> None:
    management = (await flights()).management
    head, get = await management.head(path), await management.get(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("cache-control", "content-type", "content-length"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize("path", PROBES)
async def test_a_probe_takes_a_query_and_no_other_method(flights: Any, path: str) -> None:
    management = (await flights()).management
    assert (await management.get(f"{path}?verbose")).status_code == 200
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        refused = await management.request(method, path)
        assert (refused.status_code, "GET" in refused.headers["allow"]) == (405, True)


async def test_only_readiness_falls_with_a_critical_check(serve: Any) -> None:
    service = Service("flights", routes=[])
    broken: list[str] = []

    @service.health_check(interval=0.01, failures=1, critical=True)
    async def database() -> None:
        if broken:
            raise ConnectionError("hunter2")

    management = (await serve(service)).management
    broken.append("database")
    while (ready := await management.get("/readyz")).status_code == 200:
        pass
    assert (ready.status_code, ready.json()["status"], ready.json()["state"]) == (503, "down", "ready")
    assert ready.headers["cache-control"] == "no-store"
    assert ready.json()["checks"]["database"]["status"] == "down"
    assert "hunter2" not in ready.text
    assert (await management.head("/readyz")).status_code == 503
    assert (await management.get("/livez")).status_code == 200
    assert (await management.get("/startupz")).status_code == 200


async def test_a_critical_check_that_is_down_from_the_first_leaves_it_unready_but_running(serve: Any) -> None:
    service = Service("flights", routes=[])

    @service.health_check(interval=0.01, failures=1, critical=True)
    async def database() -> bool:
        return False

    async with asyncio.timeout(10):
        ready = await (await serve(service)).management.get("/readyz")
    assert (ready.status_code, ready.json()["state"]) == (503, "ready")


async def test_a_check_that_is_not_critical_takes_nothing_down(serve: Any) -> None:
    service = Service("flights", routes=[])

    @service.health_check(interval=0.01, failures=1)
    async def cache() -> bool:
        return False

    management = (await serve(service)).management
    while (ready := await management.get("/readyz")).json()["checks"]["cache"]["status"] != "down":
        pass
    assert (ready.status_code, ready.json()["status"]) == (200, "up")


async def test_a_periodic_job_that_fails_is_told_by_its_kind_and_takes_nothing_down(serve: Any) -> None:
    service = Service("flights", routes=[])

    @service.periodic_job(every=0.01)
    async def refresh() -> None:
        raise ConnectionError("hunter2")

    management = (await serve(service)).management
    while not (ready := await management.get("/readyz")).json()["periodic_jobs"]["refresh"]["failures"]:
        pass
    assert (ready.status_code, ready.json()["status"]) == (200, "up")
    assert ready.json()["periodic_jobs"]["refresh"]["last_error"] == "ConnectionError"
    assert "hunter2" not in ready.text


def test_while_starting_they_tell_how_far_each_job_is(
    start_process: Callable[..., ServiceProcess], tmp_path: Path
) -> None:
    process = start_process(STARTING)
    process.wait_draining()  # that is, /readyz is 503
    process._until(lambda: process.manage("/livez")[1]["startup_jobs"]["second"]["attempts"] or None, "second", 5)
    told = {path: process.manage(path) for path in PROBES}
    assert {path: status for path, (status, _) in told.items()} == {"/livez": 200, "/startupz": 503, "/readyz": 503}
    assert {path: body["status"] for path, (_, body) in told.items()} == {
        "/livez": "up",
        "/startupz": "down",
        "/readyz": "down",
    }
    for _, body in told.values():
        assert body["state"] == "starting"
        jobs = body["startup_jobs"]
        assert [jobs[name]["status"] for name in ("first", "second", "third")] == ["done", "running", "pending"]
        assert [jobs[name]["attempts"] for name in ("first", "second", "third")] == [1, 1, 0]
        assert jobs["second"]["seconds"] > 0
        assert jobs["third"]["seconds"] == 0
    (tmp_path / "go").touch()
    process.wait_ready()
    status, body = process.manage("/startupz")
    assert (status, body["state"], body["startup_jobs"]["third"]["status"]) == (200, "ready", "done")


def test_everything_answers_while_a_start_up_job_blocks_the_loop(
    start_process: Callable[..., ServiceProcess], tmp_path: Path
) -> None:
    process = start_process(BLOCKING, settings={"LM_LIVENESS_STALL": "0.5"})
    process.wait_draining()
    process._until(lambda: process.probe("/livez") == 503 or None, "the stall", 10)
    for path in ("/info", "/config", "/loggers", "/tasks", "/metrics", "/"):
        assert process.manage(path)[0] == 200
    assert "blocking" in json.dumps(process.manage("/tasks")[1])
    (tmp_path / "go").touch()
    assert process.wait_ready().probe("/livez") == 200
