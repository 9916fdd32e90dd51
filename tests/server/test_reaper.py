"""A service as PID 1 of a container: nobody stays a zombie, and no exit code is taken from who waits for it."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import ServiceProcess
from strict_client import Connection

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare, for a PID namespace"
)
AS_FIRST = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
PROGRAM = """
import asyncio, os, subprocess
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from lmservice import Service

service = Service("converter", routes=[])


async def orphan(request):
    process = await asyncio.create_subprocess_exec("sh", "-c", "sleep 0.2 & exit 5")
    return PlainTextResponse(str(await process.wait()))


def waits(request):
    return PlainTextResponse(str(subprocess.run(["sh", "-c", "sleep 0.05; exit 7"]).returncode))


@service.startup_job
def database(state):
    if os.environ.get("BROKEN"):
        raise OSError("no database")


service.app.router.add_route("/orphan", orphan)
service.app.router.add_route("/waits", waits)
"""


@pytest.fixture(params=["1", "2"])
def settings(request: pytest.FixtureRequest) -> dict[str, str]:
    return {"LM_WORKERS": request.param, "LM_ENVIRONMENT": "dev"}


def first(service: ServiceProcess) -> int:
    """The process that is PID 1 in there."""
    return children(service.pid)[0]


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def get(service: ServiceProcess, path: str) -> bytes:
    with Connection(service.port) as connection:
        return connection.request(path).body


def test_orphans_are_reaped_and_exit_codes_reach_who_waits_for_them(
    start_process: Callable[..., ServiceProcess], settings: dict[str, str]
) -> None:
    service = start_process(PROGRAM, settings=settings, prefix=AS_FIRST).wait_ready()
    for _ in range(15):
        assert get(service, "/orphan") == b"5"
        assert get(service, "/waits") == b"7"
    end = time.monotonic() + 10
    while len(children(first(service))) > 1 or any(map(is_zombie, children(first(service)))):
        assert time.monotonic() < end, "orphans stay"
        time.sleep(0.05)
    os.kill(first(service), signal.SIGTERM)
    assert service.wait() == 0
    assert service.event("lmservice.draining")["reason"] == "SIGTERM"


def test_its_exit_code_is_the_services(start_process: Callable[..., ServiceProcess], settings: dict[str, str]) -> None:
    assert start_process("1 / 0", settings=settings, prefix=AS_FIRST).wait() == 2
    assert start_process(PROGRAM, settings={**settings, "BROKEN": "1"}, prefix=AS_FIRST).wait() == 3


def test_a_service_that_is_killed_ends_the_container_with_the_code_that_says_so(
    start_process: Callable[..., ServiceProcess], settings: dict[str, str]
) -> None:
    service = start_process(PROGRAM, settings=settings, prefix=AS_FIRST).wait_ready()
    os.kill(children(first(service))[0], signal.SIGKILL)
    assert service.wait() == 128 + signal.SIGKILL


def test_every_signal_is_passed_on(start_process: Callable[..., ServiceProcess], settings: dict[str, str]) -> None:
    service = start_process(PROGRAM, settings=settings, prefix=AS_FIRST).wait_ready()
    os.kill(first(service), signal.SIGUSR1)
    service.event("lmservice.thread_stack")
    os.kill(first(service), signal.SIGHUP)
    assert service.wait() == 0
    assert service.event("lmservice.draining")["reason"] == "SIGHUP"
