"""Children that a handler forks without executing another program: they have nothing of the service's own."""

import contextlib
import json
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from processes import ServiceProcess
from strict_client import Connection

from lmservice import Service
from lmservice.testing import running

PROGRAM = """
import multiprocessing, os, signal, stat, time
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from lmservice import Service

fork = multiprocessing.get_context("fork")


def sleep():
    time.sleep(300)


def terminate(request):
    process = fork.Process(target=sleep, daemon=True)
    process.start()
    time.sleep(float(request.query_params.get("after", 0)))
    process.terminate()
    process.join(5)
    code = process.exitcode
    process.kill()
    return PlainTextResponse(str(code))


def square(number):
    return number * number


def pool(request):
    with fork.Pool(2) as workers:
        return PlainTextResponse(str(sum(workers.map(square, range(10)))))


def descriptors():
    found = {}
    for name in os.listdir("/proc/self/fd"):
        if os.path.lexists("/proc/self/fd/" + name):
            found[name] = os.readlink("/proc/self/fd/" + name)
    return found


def looked(pipe):
    signals = ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"]
    kinds = descriptors()
    with open(__file__) as opened:
        pipe.send({
            "kinds": kinds,
            "opened": opened.fileno(),
            "handlers": {name: repr(signal.getsignal(getattr(signal, name))) for name in signals},
            "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        })


def look(request):
    own = descriptors()
    here, there = fork.Pipe(False)
    process = fork.Process(target=looked, args=(there,))
    process.start()
    found = here.recv()
    process.join()
    return JSONResponse({**found, "own": own})


def leave(request):
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    return PlainTextResponse(str(pid))


routes = [Route("/" + each.__name__, each) for each in (terminate, pool, look, leave)]
service = Service("forks", routes=routes)
"""
MODES = [("1", "uvloop"), ("1", "asyncio"), ("2", "uvloop")]


@pytest.fixture(params=MODES, ids=["-".join(mode) for mode in MODES])
def service(request: pytest.FixtureRequest, start_process: Callable[..., ServiceProcess]) -> ServiceProcess:
    workers, loop = request.param
    return start_process(
        PROGRAM, settings={"LM_WORKERS": workers, "LM_LOOP": loop, "LM_ENVIRONMENT": "dev"}
    ).wait_ready()


def get(service: ServiceProcess, path: str) -> bytes:
    with Connection(service.port) as connection:
        return connection.request(path).body


def test_terminate_ends_a_child_however_soon_it_comes(service: ServiceProcess) -> None:
    for after in ("0", "0", "0", "0.3"):
        assert get(service, f"/terminate?after={after}") == b"-15"


def test_a_pool_is_left_at_once_again_and_again(service: ServiceProcess) -> None:
    for _ in range(15):
        assert get(service, "/pool") == b"285"


def test_a_child_has_default_dispositions_and_no_listening_socket_and_its_files_get_other_numbers(
    service: ServiceProcess,
) -> None:
    found = json.loads(get(service, "/look"))
    assert found["handlers"]["SIGINT"].startswith("<built-in function default_int_handler")
    assert {found["handlers"][name] for name in ("SIGTERM", "SIGHUP", "SIGUSR1")} == {"<Handlers.SIG_DFL: 0>"}
    assert found["blocked"] == 0
    listening = _listening(service)
    numbers = {number for number, target in found["own"].items() if target in listening}
    assert numbers
    assert {found["kinds"][number] for number in numbers} == {"/dev/null"}
    assert str(found["opened"]) not in numbers
    assert not listening & set(found["kinds"].values())


def test_a_child_holds_no_clients_connection(service: ServiceProcess) -> None:
    with (
        socket.create_connection(("127.0.0.1", service.port), timeout=10),
        socket.create_connection(("127.0.0.1", service.management_port), timeout=10),
        Connection(service.port) as asking,
    ):
        time.sleep(0.2)  # until they are accepted
        held = json.loads(asking.request("/look").body)["kinds"]
        connected = _sockets(service, "01")
        assert len(connected) >= 3
        assert not connected & set(held.values())
        assert asking.request("/look").status == 200


def _listening(service: ServiceProcess) -> set[str]:
    return _sockets(service, "0A")


def _sockets(service: ServiceProcess, state: str) -> set[str]:
    """Return the names of the service's sockets in one of the kernel's states: `01` is connected, `0A` listens."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            port = int(fields[1].rpartition(":")[2], 16)
            if fields[3] == state and port in (service.port, service.management_port):
                inodes.add(f"socket:[{fields[9]}]")
    return inodes


def test_a_child_that_outlives_the_service_does_not_keep_its_ports(service: ServiceProcess) -> None:
    child = int(get(service, "/leave"))
    try:
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
        for port in (service.port, service.management_port):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=2)
        os.kill(child, 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def test_the_service_heeds_signals_after_forks(service: ServiceProcess) -> None:
    get(service, "/pool")
    began = time.monotonic()
    service.signal(signal.SIGTERM)
    assert service.wait() == 0
    assert time.monotonic() - began < 20


def look(pipe: Any, port: int) -> None:
    """What a forked child finds: its handler of SIGHUP, and whether any of its descriptors listens on the port."""
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == "0A":
            inodes.add(int(fields[9]))
    held = set()
    for number in range(256):
        with contextlib.suppress(OSError):
            held.add(os.fstat(number).st_ino)
    pipe.send((getattr(signal.getsignal(signal.SIGHUP), "__name__", ""), bool(inodes), bool(inodes & held)))


def own_handler(_number: int, _frame: object) -> None:
    """Do nothing."""


@pytest.mark.anyio
async def test_in_a_test_the_handlers_are_the_tests_own_and_only_the_sockets_are_withheld() -> None:
    fork = multiprocessing.get_context("fork")
    before = signal.signal(signal.SIGHUP, own_handler)
    try:
        async with running(Service("tested", routes=[])) as each:
            here, there = fork.Pipe(duplex=False)
            child = fork.Process(target=look, args=(there, int(each.url.rpartition(":")[2])))
            child.start()
            assert here.poll(20)
            handler, listening, held = here.recv()
            child.join(20)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (handler, listening, held) == ("own_handler", True, False)
