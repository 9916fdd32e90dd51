"""What the tests of workers share: services with two of them, and ways to reach each."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from processes import ServiceProcess
from strict_client import Connection

PROGRAM = Path(__file__).parents[1] / "harness" / "workers_program.py"
SETTINGS = {"LM_WORKERS": "2", "LM_ENVIRONMENT": "qa", "LM_DRAIN_DELAY": "0", "LM_DRAIN_QUIET": "0"}


@pytest.fixture
def start_workers(start_process: Callable[..., ServiceProcess]) -> Callable[..., ServiceProcess]:
    """Starts the program with two workers; variables by their whole names."""

    def started(program: str | Path = PROGRAM, **settings: str) -> ServiceProcess:
        return start_process(program, settings={**SETTINGS, **settings})

    return started


@pytest.fixture
def service(start_workers: Callable[..., ServiceProcess]) -> ServiceProcess:
    """Two workers, ready."""
    return start_workers().wait_ready()


def pids(service: ServiceProcess) -> dict[int, int]:
    """The process id of each worker, by its number."""
    return {each["worker"]: each["pid"] for each in service.manage("/readyz")[1]["workers"]}


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended, and that nobody has asked for, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(true: Callable[[], Any], *, within: float = 30.0) -> None:
    """Returns once it is so."""
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, f"not within {within} s"
        time.sleep(0.02)


@contextmanager
def each_worker(service: ServiceProcess) -> Iterator[dict[int, Connection]]:
    """A connection to each worker, by its number."""
    with ExitStack() as opened:
        found: dict[int, Connection] = {}
        while len(found) < 2:
            connection = opened.enter_context(Connection(service.port))
            number, pid = connection.request("/worker").body.split()
            found.setdefault(int(number), connection)
            assert int(pid) not in (service.pid, os.getpid())
        yield found


def samples(service: ServiceProcess) -> dict[str, float]:
    """Every sample of `/metrics` by its name and labels, as the text has them."""
    lines = service.manage("/metrics")[1].splitlines()
    pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {name: float(number) for name, _, number in pairs}
