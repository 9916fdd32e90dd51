"""A stop in which everything hangs at once takes no longer than its phases and the 3 s that the settings count with."""

import signal
import socket
import time
from collections.abc import Callable

import pytest
from processes import ServiceProcess

from lmservice.settings.stop_budget import CLOSING_SECONDS, closing_alone, closing_of_workers

DELAY, DRAIN, CLEANUP = 0.5, 1.0, 1.0
PROGRAM = """
import asyncio, contextlib, threading, time
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from lmservice import Service


async def hangs():
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(600)


async def hang(request):
    asyncio.get_running_loop().create_task(hangs())
    await hangs()


async def much(request):
    async def parts():
        while True:
            yield b"x" * 1_000_000
    return StreamingResponse(parts())


def thread(request):
    time.sleep(600)


@contextlib.asynccontextmanager
async def lifespan(app):
    threads = [threading.Thread(target=time.sleep, args=[600]) for _ in range(2)]
    for each in threads:
        each.start()
    yield
    await hangs()


app = Starlette(routes=[Route("/hang", hang), Route("/much", much), Route("/thread", thread)], lifespan=lifespan)
service = Service("tested", app=app)


@service.startup_job
async def resource():
    yield
    await hangs()


@service.periodic_job(every=0.05)
async def job():
    await hangs()
"""


def test_what_closing_takes_fits_what_the_settings_count_with() -> None:
    assert closing_alone() < CLOSING_SECONDS
    assert closing_of_workers() < CLOSING_SECONDS


@pytest.mark.parametrize(("workers", "loop"), [("1", "uvloop"), ("1", "asyncio"), ("2", "uvloop")])
def test_a_stop_in_which_everything_hangs_ends_in_time(
    start_process: Callable[..., ServiceProcess], workers: str, loop: str
) -> None:
    settings = {
        "LM_WORKERS": workers, "LM_LOOP": loop, "LM_ENVIRONMENT": "qa", "LM_DRAIN_DELAY": str(DELAY),
        "LM_DRAIN_DELAY_MAX": str(DELAY), "LM_DRAIN_TIMEOUT": str(DRAIN), "LM_CLEANUP_TIMEOUT": str(CLEANUP),
    }  # fmt: skip
    service = start_process(PROGRAM, settings=settings).wait_ready()
    held = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(9)]
    for number, sock in enumerate(held):
        path = ("hang", "much", "thread")[number % 3]
        sock.sendall(f"GET /{path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    time.sleep(0.5)
    began = time.monotonic()
    service.signal(signal.SIGTERM)
    assert service.wait() == 70
    took = time.monotonic() - began
    for sock in held:
        sock.close()
    assert DELAY + DRAIN + CLEANUP <= took < DELAY + DRAIN + CLEANUP + CLOSING_SECONDS
    assert service.event("lmservice.stopped")["exit_code"] == 70
