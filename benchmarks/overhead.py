"""CPU per request of everything that lmservice does for one, beside bare starlette and the usual stacks."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from installation import PROGRAMS, current, environment
from process import Process, free_port
from report import Report, Row, Table, parser

PATH = "/flights/JFK/LAX"
CONNECTIONS = 32
WARM_UP = 1
SECONDS = 3
ROUNDS = 3
RATIO = 1.35
REQUESTS_A_SECOND = 20_000
SETTING = (
    "One JSON endpoint with two path parameters. Every server is one process on the first core, its log goes to a file;"
    f" wrk keeps {CONNECTIONS} connections busy from the second core for {SECONDS} s a round, the servers in turn,"
    f" {ROUNDS} rounds after a warm-up of {WARM_UP} s. CPU is the server process's own user and system time, by the"
    " kernel's account, over the requests that wrk counted; the figures are medians of the rounds. *lmservice* runs as"
    " it comes: ids, trace, metrics with exemplars, limits, drain, one access line a request. The others have metrics,"
    " request ids (not Litestar) and one structlog access line (Litestar two events), and no limits and no drain."
)


@dataclass(frozen=True)
class Stack:
    """One way to serve the endpoint."""

    name: str
    target: str
    ours: bool = False

    @contextmanager
    def process(self, log: Path) -> Iterator[Process]:
        """A server that answers, on the first core."""
        port = free_port()
        command = [current().command("uvicorn"), self.target, "--port", str(port), "--no-access-log"]
        variables = {}
        if self.ours:
            command = [current().command("lmservice"), "run", self.target]
            variables = {"LM_PORT": str(port), "LM_MANAGEMENT_PORT": "0"}
        pinned = ["taskset", "-c", "0", *command]
        with Process(pinned, port, cwd=PROGRAMS, env=environment(**variables), log=log) as process:
            process.first_answer(PATH)
            yield process


BARE = Stack("bare starlette", "overhead_bare:app")
LMSERVICE = Stack("lmservice", "overhead_lmservice:service", ours=True)
STACKS = (
    BARE,
    LMSERVICE,
    Stack("starlette, starlette-exporter, asgi-correlation-id, structlog", "overhead_exporter:app"),
    Stack("Litestar, its Prometheus and structlog plugins", "overhead_litestar:app"),
    Stack("FastAPI, instrumentator, asgi-correlation-id, structlog", "overhead_fastapi:app"),
)


@dataclass
class Rounds:
    """What was measured of one stack, a figure a round."""

    user: list[float] = field(default_factory=list)
    system: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)

    @property
    def cpu(self) -> float:
        """µs of CPU per request."""
        return median(user + system for user, system in zip(self.user, self.system, strict=True))

    def add(self, process: Process) -> None:
        """Measures one round."""
        user, system = process.cpu()
        served = load(process.port, SECONDS)
        user_after, system_after = process.cpu()
        self.user.append((user_after - user) / served * 1e6)
        self.system.append((system_after - system) / served * 1e6)
        self.rate.append(served / SECONDS)


def load(port: int, seconds: int) -> int:
    """Lets wrk load a server, and gives how many requests it served.

    Raises:
        SystemExit: wrk is missing, or a request failed.
    """
    words = ["taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", f"http://127.0.0.1:{port}{PATH}"]
    try:
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"wrk is needed, and two cores (Debian: apt-get install wrk): {error}") from None
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"requests failed:\n{said}")
    return int(re.search(r"(\d+) requests in", said)[1])  # type: ignore[index] # wrk always says


def measure(stacks: Sequence[Stack], rounds: int) -> dict[Stack, Rounds]:
    """All servers run, and take the load in turn."""
    measured = {stack: Rounds() for stack in stacks}
    with ExitStack() as running, tempfile.TemporaryDirectory() as logs:
        processes = {stack: running.enter_context(stack.process(Path(logs) / stack.target)) for stack in stacks}
        for process in processes.values():
            load(process.port, WARM_UP)
        for _ in range(rounds):
            for stack, process in processes.items():
                measured[stack].add(process)
    return measured


def table(measured: dict[Stack, Rounds]) -> list[Row]:
    """A row for each stack, beside the bare one."""
    return [
        {
            "stack": stack.name,
            "CPU, µs a request": rounds.cpu,
            "of it user": median(rounds.user),
            "of it system": median(rounds.system),
            "times bare": rounds.cpu / measured[BARE].cpu,
            "requests a second": round(median(rounds.rate)),
        }
        for stack, rounds in measured.items()
    ]


def broken(rows: Sequence[Row]) -> list[str]:
    """A line for each promise that is not kept."""
    (ours,) = (row for row in rows if row["stack"] == LMSERVICE.name)
    lines = []
    if float(ours["times bare"]) > RATIO:
        lines.append(f"{ours['times bare']:.2f} times bare, at most {RATIO} was promised")
    if float(ours["requests a second"]) < REQUESTS_A_SECOND:
        lines.append(f"{ours['requests a second']} requests a second, {REQUESTS_A_SECOND} were promised")
    return lines


def main() -> int:
    """Measures, prints and records."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=ROUNDS, help="of each stack (default %(default)s)")
    given = options.parse_args()
    rows = table(measure(STACKS, given.rounds))
    tables = [Table(f"Medians of {given.rounds} rounds:", rows)]
    report = Report("overhead", "What a request costs", SETTING, tables, broken(rows), current().versions())
    return report.publish(given.output)


if __name__ == "__main__":
    sys.exit(main())
