"""Connections that the kernel has accepted and the service has not, at the moment its listener goes."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from drained_instance import EACH_STACK, EACH_STACK_AND_WORKERS, PROGRAM, SETTINGS, sleep_until
from processes import ServiceProcess
from strict_client import Connection, Load, request_bytes

QUEUED = 10
CLIENTS = 60
SHUTDOWNS = 10
FEWER_SHUTDOWNS = 3
PAUSE = 0.02
AT_ONCE = {"LM_DRAIN_DELAY": "0", "LM_DRAIN_QUIET": "0", "LM_DRAIN_DELAY_MAX": "0"}
LATER = {"LM_DRAIN_DELAY": "0.6", "LM_DRAIN_QUIET": "0", "LM_DRAIN_DELAY_MAX": "0.6"}
SOON = {"LM_DRAIN_DELAY": "0.2", "LM_DRAIN_QUIET": "0.1", "LM_DRAIN_DELAY_MAX": "0.3"}
REFUSED_OPTION = """
import pathlib
import socket

real = socket.socket.setsockopt


def setsockopt(self, level, option, *value):
    if (level, option) == (socket.SOL_SOCKET, 62):
        pathlib.Path(__file__).with_name("refused").touch()
        raise OSError(92, "Protocol not available")
    return real(self, level, option, *value)


socket.socket.setsockopt = setsockopt
"""
CAP_DAC_READ_SEARCH = 2
EACH_LOOP = pytest.mark.parametrize("stack", [{"LM_LOOP": "uvloop"}, {"LM_LOOP": "asyncio"}], ids=["uvloop", "asyncio"])


class Starter:
    """Starts services in one way, and ends them with the test."""

    def __init__(
        self, running: ExitStack, stack: Mapping[str, str], prefix: Sequence[str] = (), folder: Path | None = None
    ) -> None:
        self.running = running
        self.stack = stack
        self.prefix = prefix
        self.folder = folder

    def __call__(self, settings: Mapping[str, str]) -> ServiceProcess:
        inherited = os.environ.get("PYTHONPATH", "")
        path = {"PYTHONPATH": f"{self.folder}{os.pathsep}{inherited}"} if self.folder else {}
        service = ServiceProcess(
            PROGRAM,
            settings={**SETTINGS, "LM_ACCESS_LOG": "false", **self.stack, **settings, **path},
            prefix=self.prefix,
            folder=self.folder,
        )
        return self.running.enter_context(service).wait_ready()


@pytest.fixture
def running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def ordinary(running: ExitStack, stack: dict[str, str]) -> Starter:
    return Starter(running, stack)


@pytest.fixture
def unprivileged(running: ExitStack, stack: dict[str, str]) -> Starter:
    """Services of a user without any power over the network."""
    if os.getuid() != 0:
        return Starter(running, stack)
    if not shutil.which("setpriv"):
        pytest.skip("root needs setpriv (Debian: util-linux) to become somebody else")
    reading = "-all,+dac_read_search"  # the interpreter may be below root's home
    powers = [f"--{which}={reading}" for which in ("bounding-set", "inh-caps", "ambient-caps")]
    starter = Starter(running, stack, prefix=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *powers])
    status = Path(f"/proc/{starter(AT_ONCE).pid}/status").read_text()
    assert "Uid:\t65534" in status
    assert f"CapEff:\t{1 << CAP_DAC_READ_SEARCH:016x}" in status
    return starter


@pytest.fixture
def fallen_back(running: ExitStack, stack: dict[str, str], tmp_path: Path) -> Starter:
    """Services on a system that refuses the socket option."""
    (tmp_path / "sitecustomize.py").write_text(REFUSED_OPTION)
    return Starter(running, stack, folder=tmp_path)


def one_for_each_worker(service: ServiceProcess, connections: ExitStack) -> list[Connection]:
    """A connection to each process that serves; the others that it took to find them stay open too."""
    count = len(service.manage("/readyz")[1].get("workers", [0]))
    found: dict[bytes, Connection] = {}
    while len(found) < count:
        connection = connections.enter_context(Connection(service.port))
        found.setdefault(connection.request("/worker").body, connection)
    return list(found.values())


def queue_and_stop(service: ServiceProcess, *, stop_first: bool, pause: float = 0.3) -> list[int]:
    """Blocks each loop for 1 s, queues connections with a request each, stops, and gives what each was answered.

    Where it stops first, the connections come `pause` seconds later.
    """
    with ExitStack() as connections, ThreadPoolExecutor(QUEUED + 4) as threads:
        blocking = one_for_each_worker(service, connections)
        for each in blocking:
            each.send(request_bytes("/block/1"))
        blocked = time.monotonic()
        sleep_until(blocked + 0.2)
        if stop_first:
            service.signal(signal.SIGTERM)
            sleep_until(blocked + 0.2 + pause)
        queued = [connections.enter_context(Connection(service.port)) for _ in range(QUEUED)]
        for connection in queued:
            connection.send(request_bytes())
        if not stop_first:
            service.signal(signal.SIGTERM)
        responses = threads.map(Connection.receive, [*blocking, *queued])
        return [response.status for response in responses][len(blocking) - 1 :]


def stop_under_connections(service: ServiceProcess) -> Load:
    """Stops while clients connect, send, receive and connect again, until the process has ended."""

    async def storm() -> Load:
        load = Load(lambda: service.port, keep_alive=False, pause=PAUSE)
        clients = asyncio.create_task(load.run(CLIENTS))
        await asyncio.sleep(0.1)
        service.signal(signal.SIGTERM)
        await asyncio.to_thread(service.wait)
        load.stop()
        return await clients

    return asyncio.run(storm())


def assert_nothing_queued_is_lost(start: Starter) -> None:
    for settings in (AT_ONCE, SOON):
        service = start(settings)
        assert queue_and_stop(service, stop_first=False) == [200] * (1 + QUEUED)
        assert service.wait() == 0


def assert_no_connected_client_fails(start: Starter, *, shutdowns: int) -> None:
    for number in range(shutdowns):
        service = start(SOON)
        load = stop_under_connections(service)
        assert service.wait() == 0
        assert load.failures == {}, f"shutdown {number}, {load.served} served"
        assert load.served > CLIENTS
        assert load.refused > 0


@EACH_STACK_AND_WORKERS
@pytest.mark.parametrize("settings", [AT_ONCE, SETTINGS], ids=["no delay", "usual delay"])
def test_connections_queued_behind_a_blocked_loop_are_all_served(ordinary: Starter, settings: dict[str, str]) -> None:
    """Case 8."""
    service = ordinary(settings)
    assert queue_and_stop(service, stop_first=False) == [200] * (1 + QUEUED)
    assert service.wait() == 0


@EACH_STACK
def test_connections_queued_after_the_stop_while_the_delay_runs_out_unseen_are_all_served(ordinary: Starter) -> None:
    """Case 8: when the loop turns again, the queue and the end of the delay are both waiting for it."""
    service = ordinary(SOON)
    assert queue_and_stop(service, stop_first=True) == [200] * (1 + QUEUED)
    assert service.wait() == 0


@EACH_LOOP
def test_connections_queued_while_the_delay_of_two_workers_that_stand_still_runs_out_are_all_served(
    ordinary: Starter,
) -> None:
    """Case 8: their supervisor, which does not stand still, refuses new connections in time."""
    service = ordinary({**LATER, "LM_WORKERS": "2"})
    assert queue_and_stop(service, stop_first=True, pause=0.05) == [200] * (1 + QUEUED)
    assert service.wait() == 0


@EACH_STACK_AND_WORKERS
def test_ten_shutdowns_under_constant_new_connections_lose_no_request(ordinary: Starter) -> None:
    """Case 9."""
    assert_no_connected_client_fails(ordinary, shutdowns=SHUTDOWNS)


@EACH_LOOP
def test_an_unprivileged_user_loses_nothing_that_is_queued(unprivileged: Starter) -> None:
    """Case 21, of 8."""
    assert_nothing_queued_is_lost(unprivileged)


@EACH_LOOP
def test_an_unprivileged_user_loses_no_request_under_constant_new_connections(unprivileged: Starter) -> None:
    """Case 21, of 9."""
    assert_no_connected_client_fails(unprivileged, shutdowns=FEWER_SHUTDOWNS)


@EACH_STACK_AND_WORKERS
def test_without_the_socket_option_nothing_that_is_queued_is_lost(fallen_back: Starter, tmp_path: Path) -> None:
    """Case 21, of 8."""
    assert_nothing_queued_is_lost(fallen_back)
    assert (tmp_path / "refused").exists()


@EACH_STACK_AND_WORKERS
def test_without_the_socket_option_no_request_is_lost_under_constant_new_connections(
    fallen_back: Starter, tmp_path: Path
) -> None:
    """Case 21, of 9."""
    assert_no_connected_client_fails(fallen_back, shutdowns=FEWER_SHUTDOWNS)
    assert (tmp_path / "refused").exists()
