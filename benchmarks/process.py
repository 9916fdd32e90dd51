"""A process under measurement: started, asked until it answers, weighed, ended."""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

STEP = 0.001
START_LIMIT = 30.0
PATH = "/hello/world"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Memory:
    """Resident memory in MiB: all of it, and with shared pages counted by their share."""

    rss: float
    pss: float


class Process:
    """A server process that listens on a port of the loopback interface; killed on leaving the `with`."""

    def __init__(self, command: Sequence[str], port: int, *, cwd: Path, env: Mapping[str, str], log: Path) -> None:
        self.port = port
        self.log = log
        with log.open("wb") as output:
            self.started_at = time.time()
            self._began = time.perf_counter()
            self._popen = subprocess.Popen(command, cwd=cwd, env=dict(env), stdout=output, stderr=subprocess.STDOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pids = self._all() if self._popen.poll() is None else []
        for pid in pids:  # a server's own processes, as granian's, would outlive it
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._popen.wait()

    def first_answer(self, path: str = PATH, step: float = STEP) -> float:
        """Seconds from the start of the process to the end of its first 200, for which it is asked every `step`."""
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        while not self._answers(request):
            if self._popen.poll() is not None or time.perf_counter() - self._began > START_LIMIT:
                raise SystemExit(f"{self._popen.args!r} did not come up:\n{self.log.read_text()}")
            time.sleep(step)
        return time.perf_counter() - self._began

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._popen.pid

    def terminate(self) -> None:
        """Sends SIGTERM; nothing happens where it has ended already."""
        self._popen.send_signal(signal.SIGTERM)

    def wait(self, timeout: float) -> int:
        """The exit code, once it has ended; -9 where it had to be killed after `timeout` seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._popen.wait(timeout)
        self._popen.kill()
        return self._popen.wait()

    def serve(self, requests: int) -> None:
        """Sends so many requests, one after another, over one connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_LIMIT)
        for _ in range(requests):
            connection.request("GET", PATH)
            response = connection.getresponse()
            response.read()
            if response.status != http.client.OK:
                raise SystemExit(f"{self._popen.args!r} answered {response.status}")
        connection.close()

    def cpu(self) -> tuple[float, float]:
        """User and system time of the process so far, in seconds, by the kernel's account."""
        return _cpu(self._popen.pid)

    def cpu_of_all(self) -> tuple[float, float]:
        """The same, of the process and those that it has started and that run."""
        figures = [_cpu(each) for each in self._all()]
        return sum(user for user, _ in figures), sum(system for _, system in figures)

    def memory(self) -> Memory:
        """What the kernel says it holds now."""
        return _memory(self._popen.pid)

    @property
    def processes(self) -> int:
        """How many they are: the process and those that it has started, and they, and that run."""
        return len(self._all())

    def memory_of_all(self) -> Memory:
        """The same, of the process and those that it has started and that run."""
        figures = [_memory(each) for each in self._all()]
        return Memory(rss=sum(each.rss for each in figures), pss=sum(each.pss for each in figures))

    def _all(self) -> list[int]:
        return _with_descendants(self._popen.pid)

    def _answers(self, request: bytes) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=START_LIMIT) as connection:
                connection.sendall(request)
                return connection.makefile("rb").readline().startswith(b"HTTP/1.1 200")
        except ConnectionError:
            return False


def _with_descendants(pid: int) -> list[int]:
    children = [child for tasks in Path(f"/proc/{pid}/task").glob("*/children") for child in tasks.read_text().split()]
    return [pid, *(process for child in children for process in _with_descendants(int(child)))]


def _memory(pid: int) -> Memory:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kib = {name: int(value) for name, value in re.findall(r"^(Rss|Pss): +(\d+) kB", text, re.MULTILINE)}
    return Memory(rss=kib["Rss"] / 1024, pss=kib["Pss"] / 1024)


def _cpu(pid: int) -> tuple[float, float]:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[11]) / TICKS, int(after_name[12]) / TICKS


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
