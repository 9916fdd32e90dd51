"""SIGUSR1: where every task and thread is, in the log."""

import signal
import time
from collections.abc import Callable

from processes import ServiceProcess
from strict_client import Connection, request_bytes

PROGRAM = """\
import asyncio, time
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from lmservice import Service

async def wait(request):
    await asyncio.sleep(2)
    return PlainTextResponse("waited")

async def block(request):
    end = time.monotonic() + 2
    while time.monotonic() < end:
        pass
    return PlainTextResponse("blocked")

service = Service("stacked", routes=[Route("/wait", wait), Route("/block", block)])
"""


def told(service: ServiceProcess, kind: str) -> list[dict[str, str]]:
    """The lines about one kind of stack, once those of the threads have come, which are last."""
    service.event("lmservice.thread_stack")
    time.sleep(0.3)
    return [event for event in service.logs if event["event"] == f"lmservice.{kind}_stack"]


def test_the_stacks_of_tasks_and_threads_are_logged_and_the_service_goes_on(
    start_process: Callable[..., ServiceProcess],
) -> None:
    service = start_process(PROGRAM).wait_ready()
    with Connection(service.port) as connection:
        connection.send(request_bytes("/wait"))
        time.sleep(0.2)
        service.signal(signal.SIGUSR1)
        assert any("in wait" in task["stack"] for task in told(service, "task"))
        assert {"MainThread", "management"} <= {thread["thread_name"] for thread in told(service, "thread")}
        assert connection.receive().status == 200
    assert service.stop()["status"] == "stopped"
    assert service.wait() == 0


def test_what_blocks_the_loop_is_shown(start_process: Callable[..., ServiceProcess]) -> None:
    service = start_process(PROGRAM).wait_ready()
    with Connection(service.port) as connection:
        connection.send(request_bytes("/block"))
        time.sleep(0.3)
        service.signal(signal.SIGUSR1)
        (main,) = [thread for thread in told(service, "thread") if thread["thread_name"] == "MainThread"]
        assert "in block" in main["stack"]
        assert connection.receive().status == 200


def test_it_does_not_end_a_service_that_is_being_imported(start_process: Callable[..., ServiceProcess]) -> None:
    service = start_process("import time\nprint('importing', flush=True)\ntime.sleep(1)\n" + PROGRAM)
    while "importing" not in service.output:
        time.sleep(0.01)
    service.signal(signal.SIGUSR1)
    service.wait_ready()
