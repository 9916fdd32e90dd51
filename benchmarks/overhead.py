"""CPU per request of everything that lmservice does for one, beside bare starlette and the usual stacks."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
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
SECONDS = 1
ROUNDS = 9
REQUESTS_A_SECOND = 20_000
LMSERVICES = {"LM_MANAGEMENT_PORT": "0", "LM_ENVIRONMENT": "qa"}
"""As it runs on a cluster: in `dev` it explains errors besides."""
SETTING = (
    "One JSON endpoint with two path parameters. Every server is one process on the first core, its log goes to a file;"
    f" wrk keeps {CONNECTIONS} connections busy from the second core for {SECONDS} s a round, the servers in turn,"
    f" {ROUNDS} rounds after a warm-up of {WARM_UP} s. CPU is the server's own user and system time, by the kernel's"
    " account, over the requests that wrk counted; the figures are medians of the rounds, and *times bare* is the"
    " median of what each round shows, as a machine that others share is not equally quick in all of them. *lmservice*"
    " runs as it comes, in the environment `qa`: ids, trace, metrics with exemplars, limits, drain, one access line a"
    " request. The other stacks have metrics,"
    " request ids (not Litestar) and one structlog access line (Litestar two events), and no limits and no drain; what"
    " is called bare has none of it. The second table asks for the last of 100 routes, which starlette tries in order."
)


@dataclass(frozen=True)
class Stack:
    """One way to serve the endpoint."""

    name: str
    target: str
    server: str = "uvicorn"

    @contextmanager
    def process(self, log: Path) -> Iterator[Process]:
        """A server that answers, on the first core."""
        port = free_port()
        words = {
            "uvicorn": ["uvicorn", self.target, "--port", str(port), "--no-access-log"],
            "zttp": ["uvicorn", self.target, "--port", str(port), "--no-access-log", "--http", "zttp"],
            "granian": ["granian", "--interface", "asgi", "--no-ws", "--port", str(port), self.target],
            "lmservice": ["lmservice", "run", self.target],
        }[self.server]
        command = ["taskset", "-c", "0", current().command(words[0]), *words[1:]]
        variables = {"LM_PORT": str(port), **LMSERVICES} if self.server == "lmservice" else {}
        with Process(command, port, cwd=PROGRAMS, env=environment(**variables), log=log) as process:
            process.first_answer(PATH)
            yield process


@dataclass(frozen=True)
class Comparison:
    """Stacks side by side, and what the first but one may cost beside the first, which is bare."""

    title: str
    stacks: tuple[Stack, ...]
    ratio: float


COMPARISONS = (
    Comparison(
        "one route",
        (
            Stack("bare starlette", "overhead_bare:app"),
            Stack("lmservice", "overhead_lmservice:service", "lmservice"),
            Stack("bare starlette on granian", "overhead_bare:app", "granian"),
            Stack("bare starlette on uvicorn with zttp", "overhead_bare:app", "zttp"),
            Stack("starlette, starlette-exporter, asgi-correlation-id, structlog", "overhead_exporter:app"),
            Stack("Litestar, its Prometheus and structlog plugins", "overhead_litestar:app"),
            Stack("FastAPI, instrumentator, asgi-correlation-id, structlog", "overhead_fastapi:app"),
        ),
        0.9,
    ),
    Comparison(
        "the last of 100 routes",
        (
            Stack("bare starlette", "overhead_bare:many"),
            Stack("lmservice", "overhead_lmservice:many", "lmservice"),
        ),
        0.5,
    ),
    Comparison(
        "FastAPI",
        (
            Stack("bare FastAPI", "overhead_bare_fastapi:app"),
            Stack("FastAPI as lmservice's app", "overhead_bare_fastapi:service", "lmservice"),
        ),
        1.0,
    ),
)


@dataclass
class Rounds:
    """What was measured of one stack, a figure a round."""

    user: list[float] = field(default_factory=list)
    system: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)

    @property
    def cpu(self) -> list[float]:
        """µs of CPU per request."""
        return [user + system for user, system in zip(self.user, self.system, strict=True)]

    def times(self, bare: "Rounds") -> float:
        """What it takes beside another stack that took its turn in the same rounds."""
        return median(own / other for own, other in zip(self.cpu, bare.cpu, strict=True))

    def add(self, process: Process) -> None:
        """Measures one round."""
        user, system = process.cpu_of_all()
        served = load(process.port, SECONDS)
        user_after, system_after = process.cpu_of_all()
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
        files = {stack: Path(logs) / str(number) for number, stack in enumerate(stacks)}
        processes = {stack: running.enter_context(stack.process(files[stack])) for stack in stacks}
        for process in processes.values():
            load(process.port, WARM_UP)
        for _ in range(rounds):
            for stack, process in processes.items():
                measured[stack].add(process)
    return measured


def table(measured: Mapping[Stack, Rounds], stacks: Sequence[Stack]) -> list[Row]:
    """A row for each stack, beside the first."""
    return [
        {
            "stack": stack.name,
            "CPU, µs a request": median(measured[stack].cpu),
            "of it user": median(measured[stack].user),
            "of it system": median(measured[stack].system),
            "times bare": measured[stack].times(measured[stacks[0]]),
            "requests a second": round(median(measured[stack].rate)),
        }
        for stack in stacks
    ]


def broken(comparison: Comparison, rows: Sequence[Row]) -> list[str]:
    """A line for each promise that is not kept."""
    ours, lines = rows[1], []
    if float(ours["times bare"]) > comparison.ratio:
        lines.append(
            f"{comparison.title}: {ours['times bare']:.2f} times bare, at most {comparison.ratio} was promised"
        )
    if comparison.title == COMPARISONS[0].title and float(ours["requests a second"]) < REQUESTS_A_SECOND:
        lines.append(f"{ours['requests a second']} requests a second, {REQUESTS_A_SECOND} were promised")
    return lines


def main() -> int:
    """Measures, prints and records."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=ROUNDS, help="of each stack (default %(default)s)")
    options.add_argument(
        "--only", default="", help="the tables whose title has this, the first two rows; records nothing"
    )
    given = options.parse_args()
    chosen = [
        Comparison(each.title, tuple(s for s in each.stacks if s in each.stacks[:2] or not given.only), each.ratio)
        for each in COMPARISONS
        if given.only in each.title
    ]
    measured = measure([stack for comparison in chosen for stack in comparison.stacks], given.rounds)
    rows = {comparison: table(measured, comparison.stacks) for comparison in chosen}
    tables = [Table(f"Medians of {given.rounds} rounds, {each.title}:", found) for each, found in rows.items()]
    if given.only:
        print("\n\n".join(each.markdown() for each in tables))
        return 0
    lines = [line for comparison, found in rows.items() for line in broken(comparison, found)]
    report = Report("overhead", "What a request costs", SETTING, tables, lines, current().versions())
    return report.publish(given.output)


if __name__ == "__main__":
    sys.exit(main())
