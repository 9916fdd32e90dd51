"""What requests need, and has ended: told at once, drained, exit code 70."""

import signal
import time
from collections.abc import Callable

import pytest
from processes import ServiceProcess
from strict_client import Connection

PROGRAM = """
import asyncio
from starlette.responses import PlainTextResponse
from lmservice import Service


async def respond(scope, receive, send):
    await asyncio.sleep(0.6)
    await PlainTextResponse("whole")(scope, receive, send)


async def app(scope, receive, send):
    if scope["type"] != "lifespan":
        return await respond(scope, receive, send)
    await receive()
    await send({"type": "lifespan.startup.complete"})
    %s


service = Service("tested", app=app)
"""
LATER = "await asyncio.sleep(1); "
SETTINGS = {"LM_ENVIRONMENT": "qa", "LM_DRAIN_DELAY": "0.5", "LM_DRAIN_QUIET": "0"}


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        ("raise RuntimeError('the broker has gone')", "RuntimeError: the broker has gone"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise asyncio.CancelledError", "CancelledError"),
        ("asyncio.current_task().cancel(); await asyncio.sleep(60)", "CancelledError"),
        (
            "await send({'type': 'lifespan.shutdown.failed', 'message': 'no broker'}); await receive()",
            "no broker",
        ),
    ],
    ids=["raise", "SystemExit", "CancelledError", "cancel", "shutdown.failed"],
)
def test_a_lifespan_that_fails_after_its_start_stops_the_service_and_says_why(
    start_process: Callable[..., ServiceProcess], end: str, cause: str
) -> None:
    service = start_process(PROGRAM % (LATER + end), settings=SETTINGS).wait_ready()
    told = service.event("lmservice.lifespan_died")
    assert (told["error"], told["level"]) == (cause, "error")
    with Connection(service.port) as connection:  # in the drain's delay, as after any stop
        assert connection.request("/").body == b"whole"
    assert service.wait() == 70
    draining, stopped = service.event("lmservice.draining"), service.event("lmservice.stopped")
    assert draining["reason"] == "failure"
    assert draining["failure"].endswith(cause)
    assert [problem for problem in stopped["problems"] if cause in problem]


def test_a_lifespan_that_returns_after_its_start_is_none_to_wait_for(
    start_process: Callable[..., ServiceProcess],
) -> None:
    service = start_process(PROGRAM % "return", settings=SETTINGS).wait_ready()
    time.sleep(0.5)
    assert service.probe("/readyz") == 200
    service.signal(signal.SIGTERM)
    assert service.wait() == 0


JOB = """
import asyncio
from lmservice import Service

service = Service("tested", routes=[])


async def consume():
    await asyncio.sleep(0.7)
    raise RuntimeError("the broker has gone")


@service.startup_job
async def consumer():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(consume())
        yield
"""


def test_a_start_up_job_that_ends_while_it_is_needed_is_named_at_once(
    start_process: Callable[..., ServiceProcess],
) -> None:
    service = start_process(JOB, settings=SETTINGS).wait_ready()
    told = service.event("lmservice.startup_job_died")
    assert told["job"] == "consumer"
    assert "the broker has gone" in told["exception"]
    assert service.wait() == 70
    assert "'consumer'" in service.event("lmservice.draining")["failure"]
