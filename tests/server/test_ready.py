"""Readiness of real processes, one and several: never without liveness, and never before each critical check is up."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import ServiceProcess
from strict_client import Connection

PROGRAM = """
import os, time
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from lmservice import Service


async def block(request):
    time.sleep(2.5)
    return PlainTextResponse("turned")


service = Service("tested", routes=[Route("/block", block)])


@service.health_check(critical=True, interval=30)
async def database():
    if not os.path.exists(os.environ["DATABASE"]):
        raise ConnectionError("password authentication failed")
"""


@pytest.fixture(params=["1", "2"], ids=["one process", "workers"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "database").touch()
    common = {"LM_ENVIRONMENT": "dev", "DATABASE": str(tmp_path / "database")}
    return {"LM_WORKERS": request.param, **common}


def test_who_is_not_alive_is_not_ready(start_process: Callable[..., ServiceProcess], settings: dict[str, str]) -> None:
    service = start_process(PROGRAM, settings={**settings, "LM_LIVENESS_STALL": "0.7"}).wait_ready()
    with Connection(service.port) as connection:
        began = time.monotonic()
        asking = threading.Thread(target=connection.request, args=["/block"])
        asking.start()
        service.wait_answering("/readyz", 503)
        assert time.monotonic() - began < 2.5
        assert (service.probe("/livez"), service.probe("/readyz"), service.probe("/startupz")) == (503, 503, 200)
        assert "lmservice_ready 0.0" in service.manage("/metrics")[1]
        asking.join()
    service.wait_ready()
    assert service.probe("/livez") == 200


def test_a_critical_check_that_fails_from_the_first_keeps_it_unready_until_it_is_up(
    start_process: Callable[..., ServiceProcess], settings: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "database").unlink()
    service = start_process(PROGRAM, settings=settings).wait_answering("/startupz", 200)
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        status, body = service.manage("/readyz")
        assert (status, body["state"]) in ((503, "ready"), (503, "starting"))
        time.sleep(0.02)
    assert (service.probe("/livez"), service.probe("/startupz")) == (200, 200)
    (tmp_path / "database").touch()
    began = time.monotonic()
    service.wait_ready()
    assert time.monotonic() - began < 10  # although it is polled every 30 s once it has been up


def test_a_worker_that_is_replaced_takes_nothing_down_before_its_first_poll(
    start_process: Callable[..., ServiceProcess], tmp_path: Path
) -> None:
    (tmp_path / "database").touch()
    settings = {"LM_WORKERS": "2", "LM_ENVIRONMENT": "dev", "DATABASE": str(tmp_path / "database")}
    service = start_process(PROGRAM, settings=settings).wait_ready()
    time.sleep(1.5)  # so that both have polled: ready is already where one has
    first = service.manage("/readyz")[1]["workers"][0]["pid"]
    os.kill(first, signal.SIGKILL)
    end = time.monotonic() + 30
    while True:
        status, body = service.manage("/readyz")
        assert status == 200
        workers = body["workers"]
        if len(workers) == 2 and workers[0]["pid"] != first and workers[0]["state"] == "ready":
            break
        assert time.monotonic() < end
    assert service.probe("/readyz") == 200
