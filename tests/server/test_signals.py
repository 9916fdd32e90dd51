"""Signals that a terminal or an init system sends: SIGHUP stops as SIGTERM does, unless it was ignored at the start."""

import signal
import time
from collections.abc import Callable

import pytest
from processes import ServiceProcess
from strict_client import Connection

PROGRAM = """
import asyncio
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from lmservice import Service


async def slow(request):
    await asyncio.sleep(1)
    return PlainTextResponse("whole")


service = Service("tested", routes=[Route("/slow", slow)])


@service.startup_job
async def resource():
    yield
    print("cleaned up", flush=True)
"""


@pytest.fixture(params=["1", "2"], ids=["one process", "workers"])
def settings(request: pytest.FixtureRequest) -> dict[str, str]:
    return {"LM_WORKERS": request.param, "LM_ENVIRONMENT": "qa", "LM_DRAIN_DELAY": "0.2", "LM_DRAIN_QUIET": "0"}


def test_sighup_stops_the_service_and_loses_no_request(
    start_process: Callable[..., ServiceProcess], settings: dict[str, str]
) -> None:
    service = start_process(PROGRAM, settings=settings).wait_ready()
    with Connection(service.port) as connection:
        connection.send(b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n")
        time.sleep(0.3)
        service.signal(signal.SIGHUP)
        service.signal(signal.SIGHUP)
        assert connection.receive().body == b"whole"
    assert service.wait() == 0
    assert service.event("lmservice.draining")["reason"] == "SIGHUP"
    assert "cleaned up" in service.output


def test_sighup_during_the_start_ends_it_cleanly(
    start_process: Callable[..., ServiceProcess], settings: dict[str, str]
) -> None:
    service = start_process(PROGRAM.replace("    yield", "    await asyncio.sleep(60)\n    yield"), settings=settings)
    service.event("lmservice.listening")
    service.signal(signal.SIGHUP)
    assert service.wait() == 0


def test_under_nohup_a_terminal_that_goes_ends_nothing(
    start_process: Callable[..., ServiceProcess], settings: dict[str, str]
) -> None:
    service = start_process(PROGRAM, settings=settings, prefix=("nohup",)).wait_ready()
    service.signal(signal.SIGHUP)
    time.sleep(0.5)
    assert service.probe("/readyz") == 200
    service.signal(signal.SIGTERM)
    assert service.wait() == 0
    assert service.event("lmservice.draining")["reason"] == "SIGTERM"
