"""Requests a second by two workers and by one, under the same load, and what a stop under load costs two of them."""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from drain import CLIENTS, Case, hook_then_sigterm, sigterm
from installation import PROGRAMS, current, environment
from process import Process, free_port
from report import Report, Row, Table, parser

CONNECTIONS = 32
WARM_UP = 1
SECONDS = 4
ROUNDS = 3
WORKERS = (1, 2)
MOST = 4
"""Workers of the service whose memory alone is measured."""
ENDPOINTS = {"JSON of two path parameters": "/flights/JFK/LAX", "1 ms of computing": "/compute"}
LEAST = 1.3
"""What two workers promise to serve, in times what one does, where the handler has work of its own."""
SETTING = (
    "One service with one and with two workers, on two cores, which wrk shares: it keeps"
    f" {CONNECTIONS} keep-alive connections busy for {SECONDS} s a round, each sending its next request once the last"
    f" is answered; the services take the load in turn, {ROUNDS} rounds after a warm-up of {WARM_UP} s, everything on,"
    " their logs in files. *Cores* are CPU seconds a second of wall time, by the kernel's account: of all processes of"
    " the service, the supervisor among them, and of wrk. What wrk takes, two workers cannot have. *1 ms of computing*"
    " spins for that long on its own thread's clock, as a service with work of its own."
    f" The stops are those of `./dev bench drain`: {CLIENTS} strict keep-alive clients, default settings in the"
    " environment `qa`, and a second instance, which has two workers too."
)


@dataclass
class Rounds:
    """What was measured of one service, a figure a round."""

    rate: list[float] = field(default_factory=list)
    service: list[float] = field(default_factory=list)
    generator: list[float] = field(default_factory=list)

    def add(self, process: Process, path: str) -> None:
        """Measures one round."""
        cpu, began = sum(process.cpu_of_all()), time.perf_counter()
        served, generator = load(process.port, path, SECONDS)
        seconds = time.perf_counter() - began
        self.rate.append(served / seconds)
        self.service.append((sum(process.cpu_of_all()) - cpu) / seconds)
        self.generator.append(generator / seconds)


def load(port: int, path: str, seconds: int) -> tuple[int, float]:
    """Lets wrk load a service; how many requests were served, and wrk's own CPU, in seconds.

    Raises:
        SystemExit: wrk is missing, or a request failed.
    """
    words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", f"http://127.0.0.1:{port}{path}"]
    before = os.times()
    try:
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"wrk is needed (Debian: apt-get install wrk): {error}") from None
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"requests failed:\n{said}")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return int(re.search(r"(\d+) requests in", said)[1]), cpu  # type: ignore[index] # wrk always says


@contextmanager
def service(workers: int, log: Path) -> Iterator[Process]:
    """A service that answers."""
    port = free_port()
    command = [current().command("lmservice"), "run", "computing:service"]
    variables = {"LM_PORT": str(port), "LM_MANAGEMENT_PORT": "0", "LM_WORKERS": str(workers)}
    with Process(command, port, cwd=PROGRAMS, env=environment(**variables), log=log) as process:
        process.first_answer("/compute")
        time.sleep(WARM_UP)  # until the last worker is ready as well
        yield process
        process.terminate()
        process.wait(10)


def measure(rounds: int) -> tuple[list[Row], list[Row]]:
    """Both services run, and take each load in turn; then, what they hold."""
    with ExitStack() as running, tempfile.TemporaryDirectory() as logs:
        services = {each: running.enter_context(service(each, Path(logs) / str(each))) for each in WORKERS}
        rates = [row for name, path in ENDPOINTS.items() for row in measured(services, name, path, rounds)]
        services |= {MOST: running.enter_context(service(MOST, Path(logs) / str(MOST)))}
        load(services[MOST].port, "/compute", WARM_UP)
        held = {workers: process.memory_of_all() for workers, process in services.items()}
        processes = {workers: process.processes for workers, process in services.items()}
    return rates, [
        {
            "workers": each,
            "processes": processes[each],
            "RSS, MiB": memory.rss,
            "PSS, MiB": memory.pss,
            "PSS, times one": memory.pss / held[1].pss,
        }
        for each, memory in held.items()
    ]


def measured(services: dict[int, Process], name: str, path: str, rounds: int) -> list[Row]:
    """A row for each service."""
    found = {each: Rounds() for each in services}
    for process in services.values():
        load(process.port, path, WARM_UP)
    for _ in range(rounds):
        for each, process in services.items():
            found[each].add(process, path)
    return [
        {
            "handler": name,
            "workers": each,
            "requests a second": round(median(figures.rate)),
            "times one": median(figures.rate) / median(found[1].rate),
            "cores, service": median(figures.service),
            "cores, wrk": median(figures.generator),
            "wrk's share of the two, %": round(median(figures.generator) / 2 * 100),
        }
        for each, figures in found.items()
    ]


STOPS = (
    Case("lmservice, 2 workers, SIGTERM", "lmservice", sigterm, workers=2),
    Case("lmservice, 2 workers, /stop then SIGTERM", "lmservice", hook_then_sigterm, workers=2),
)


async def stops() -> list[Row]:
    """Each way to stop, under load."""
    return [await case.run(0.005) for case in STOPS]


def broken(rows: Sequence[Row], stopped: Sequence[Row]) -> list[str]:
    """A line for each promise that is not kept."""
    lines = [f"{row['stop']}: {row['failures']} failures, exit {row['exit']}" for row in stopped if row["failures"]]
    (two,) = (row for row in rows if row["workers"] == 2 and row["handler"] == "1 ms of computing")
    if float(two["times one"]) < LEAST:
        lines.append(f"two workers serve {two['times one']:.2f} times what one does, {LEAST} was promised")
    return lines


def main() -> int:
    """Measures, prints and records."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=ROUNDS, help="of each service (default %(default)s)")
    given = options.parse_args()
    rows, held = measure(given.rounds)
    stopped = asyncio.run(stops())
    tables = [
        Table(f"Medians of {given.rounds} rounds:", rows),
        Table("Memory after that load, of all processes of the service:", held),
        Table("Failures and requests served over a stop:", stopped),
    ]
    report = Report("workers", "Workers", SETTING, tables, broken(rows, stopped), current().versions())
    return report.publish(given.output)


if __name__ == "__main__":
    sys.exit(main())
