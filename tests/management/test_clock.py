"""A step of the machine's clock changes no duration: those go by the monotonic clock."""

from typing import Any

import httpx
import pytest

PROGRAM = """
import time
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from lmservice import Service

wall, loaded = time.time, time.monotonic()
time.time = lambda: wall() - (3600 if time.monotonic() > loaded + 1 else 0)

async def home(_):
    return PlainTextResponse("home")

service = Service("clock", routes=[Route("/", home)])

@service.startup_job
def over_the_step():
    time.sleep(1.5)
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_step_of_the_clock_changes_no_duration(start_process: Any, workers: str) -> None:
    process = start_process(PROGRAM, settings={"LM_WORKERS": workers})
    process.wait_ready()
    httpx.get(process.url)
    ready = process.event("lmservice.ready")
    assert 0 < ready["seconds"] < 30
    assert all(0 <= seconds < 30 for seconds in ready.get("startup_jobs", {}).values())
    assert 0 < httpx.get(f"{process.management_url}/info").json()["uptime_seconds"] < 30
    report = process.stop()
    assert 0 <= report["seconds"] < 30
    assert all(0 <= seconds < 30 for seconds in report["phases"].values())
    assert 0 <= process.event("http.request")["duration"] < 1
