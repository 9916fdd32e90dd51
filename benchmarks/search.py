"""Searches a second, and their latency, of the search service beside FastAPI with SQLAlchemy on the same databases."""

import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median

import pytest
from installation import PROGRAMS, ROOT, current, environment
from process import Process, free_port
from report import Report, Row, Table, parser

sys.path.append(str(ROOT / "examples" / "search-service" / "tests" / "harness"))
from servers import postgres, redis_server

CONNECTIONS = 32
PATHS = 500
WARM_UP = 2
SECONDS = 3
ROUNDS = 3
RATIO = 1.5
SETTING = (
    f"`/flights` of {PATHS} routes and days, drawn by the number of their flights, the first page of each. Every server"
    " is one process on the first core; PostgreSQL and Redis, where they are used, and wrk share the second."
    f" wrk keeps {CONNECTIONS} connections busy for {SECONDS} s a round, the servers in turn, {ROUNDS} rounds after a"
    f" warm-up of {WARM_UP} s; the figures are medians of the rounds. *search service* runs as it comes, with metrics,"
    " limits and an access line a request; *cached* has every answer in Redis. *FastAPI* is"
    " `benchmarks/programs/search_fastapi.py`: async sessions and mapped classes of SQLAlchemy, pydantic models,"
    " uvicorn without an access log; the same query, the same JSON, the same five connections."
)
WRK = """
local paths, at = {}, 0
for line in io.lines("%s") do paths[#paths + 1] = line end
request = function() at = at %% #paths + 1; return wrk.format("GET", paths[at]) end
"""


@dataclass(frozen=True)
class Stack:
    """One way to serve searches from one database."""

    name: str
    database: str
    ours: bool

    @contextmanager
    def process(self, folder: Path, url: str, redis: str) -> Iterator[Process]:
        """A server that answers, on the first core; the first of ours on a database fills it."""
        port = free_port()
        if self.ours:
            command = [current().command("lmservice"), "run", "search_service:service"]
            variables = {"LM_PORT": str(port), "LM_MANAGEMENT_PORT": "0", "LM_DATABASE_URL": url}
            if self.cached:
                variables |= {"LM_REDIS_URL": redis, "LM_CACHE_TTL": "3600"}
        else:
            command = [current().command("uvicorn"), "search_fastapi:app", "--port", str(port), "--no-access-log"]
            variables = {"DATABASE_URL": url}
        pinned = ["taskset", "-c", "0", *command]
        log = folder / f"{self.name} {self.database}.log"
        with Process(pinned, port, cwd=PROGRAMS, env=environment(**variables), log=log) as process:
            process.first_answer("/flights?origin=JFK&destination=LAX&date=2013-07-04")
            yield process

    @property
    def cached(self) -> bool:
        """Whether every answer comes from Redis."""
        return "cached" in self.name


OURS, CACHED, FASTAPI = "search service", "search service, cached", "FastAPI, SQLAlchemy"
SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
STACKS = tuple(
    Stack(name, database, name != FASTAPI) for database in (SQLITE, POSTGRESQL) for name in (OURS, CACHED, FASTAPI)
)


@dataclass
class Rounds:
    """What was measured of one stack, a figure a round; latencies in milliseconds."""

    rate: list[float] = field(default_factory=list)
    half: list[float] = field(default_factory=list)
    most: list[float] = field(default_factory=list)

    def add(self, port: int, script: Path) -> None:
        """Measures one round."""
        said = load(port, script, SECONDS)
        self.rate.append(float(re.search(r"Requests/sec: +([\d.]+)", said)[1]))  # type: ignore[index] # wrk always says
        self.half.append(_milliseconds(said, "50%"))
        self.most.append(_milliseconds(said, "99%"))


def _milliseconds(said: str, share: str) -> float:
    number, unit = re.search(rf"{share} +([\d.]+)(us|ms|s)", said).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def load(port: int, script: Path, seconds: int) -> str:
    """Lets wrk load a server, and gives what it says.

    Raises:
        SystemExit: wrk is missing, or a request failed.
    """
    words = ["taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", "--latency", "-s", str(script)]
    try:
        said = subprocess.run([*words, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"wrk is needed, and two cores (Debian: apt-get install wrk): {error}") from None
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"requests failed:\n{said}")
    return said


def write_script(folder: Path, database: Path) -> Path:
    """What wrk asks for, drawn from the database of flights; the same in every run."""
    with closing(sqlite3.connect(database)) as connection:
        flights = connection.execute("SELECT origin, destination, day FROM flight ORDER BY 1, 2, 3").fetchall()
    drawn = Random(1).sample(flights, PATHS)
    paths = [f"/flights?origin={origin}&destination={destination}&date={day}" for origin, destination, day in drawn]
    (folder / "paths").write_text("\n".join(paths))
    script = folder / "paths.lua"
    script.write_text(WRK % (folder / "paths"))
    return script


def measure(rounds: int) -> dict[Stack, Rounds]:
    """All servers run, and take the load in turn."""
    measured = {stack: Rounds() for stack in STACKS}
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        server, redis = running.enter_context(postgres()), running.enter_context(redis_server())
        urls = {
            SQLITE: f"sqlite+aiosqlite:///{folder}/timetable.db",
            POSTGRESQL: server.url().replace("postgresql:", "postgresql+asyncpg:"),
        }
        cache = f"redis://127.0.0.1:{redis.port}/0"
        ports = {
            stack: running.enter_context(stack.process(folder, urls[stack.database], cache)).port for stack in STACKS
        }
        script = write_script(folder, folder / "timetable.db")
        for port in ports.values():
            load(port, script, WARM_UP)
        for _ in range(rounds):
            for stack, port in ports.items():
                measured[stack].add(port, script)
    return measured


def table(measured: dict[Stack, Rounds]) -> list[Row]:
    """A row for each stack, beside FastAPI on the same database."""
    yardstick = {stack.database: median(rounds.rate) for stack, rounds in measured.items() if not stack.ours}
    return [
        {
            "database": stack.database,
            "stack": stack.name,
            "requests a second": round(median(rounds.rate)),
            "p50, ms": median(rounds.half),
            "p99, ms": median(rounds.most),
            "times FastAPI": median(rounds.rate) / yardstick[stack.database],
        }
        for stack, rounds in measured.items()
    ]


def broken(rows: Sequence[Row]) -> list[str]:
    """A line for each promise that is not kept."""
    return [
        f"{row['stack']} on {row['database']} does {row['times FastAPI']:.2f} times as much, {RATIO} was promised"
        for row in rows
        if row["stack"] != FASTAPI and float(row["times FastAPI"]) < RATIO
    ]


def main() -> int:
    """Measures, prints and records."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=ROUNDS, help="of each stack (default %(default)s)")
    given = options.parse_args()
    try:
        rows = table(measure(given.rounds))
    except pytest.skip.Exception as missing:
        raise SystemExit(str(missing)) from None
    tables = [Table(f"Medians of {given.rounds} rounds:", rows)]
    report = Report("search", "Searches", SETTING, tables, broken(rows), current().versions())
    return report.publish(given.output)


if __name__ == "__main__":
    sys.exit(main())
