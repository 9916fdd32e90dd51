"""Time from process start to the first 200, memory, and ten start-up jobs at once: lmservice beside plain uvicorn."""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from installation import Installation, clean, environment
from process import Memory, Process, free_port
from report import Report, Row, Table, parser

RUNS = 31
MEMORY_RUNS = 5
JOB_RUNS = 3
REQUESTS = 2000
START_RATIO = 1.6
FIRST_ANSWER_RATIO = 1.75
MEMORY_RATIO = 1.7
JOBS_SECONDS = 1.5
SETTING = (
    "Both run in one clean virtual environment that holds the wheel of this tree and what it depends on, byte-compiled;"
    " their runs alternate. *uvicorn* serves a bare starlette app of one route; *lmservice* runs the contract's hello"
    " service. A process is asked every millisecond until it answers 200. Memory is the median of"
    f" {MEMORY_RUNS} processes, from smaps_rollup."
)


@dataclass
class Samples:
    """What was measured of one of the two."""

    seconds: list[float] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)
    first: list[Memory] = field(default_factory=list)
    later: list[Memory] = field(default_factory=list)


@dataclass(frozen=True)
class Bench:
    """Where the processes under measurement run."""

    installation: Installation
    scratch: Path

    @contextmanager
    def uvicorn(self) -> Iterator[Process]:
        """Plain uvicorn with the bare app."""
        port = free_port()
        command = [self.installation.command("uvicorn"), "bare:app", "--host", "0.0.0.0", "--port", str(port)]
        with self._process(command, port) as process:
            yield process

    @contextmanager
    def lmservice(self, service: str = "hello:service") -> Iterator[Process]:
        """The service under `lmservice run`, all settings at their defaults but the ports."""
        port = free_port()
        ports = {"LM_PORT": str(port), "LM_MANAGEMENT_PORT": str(free_port())}
        with self._process([self.installation.command("lmservice"), "run", service], port, **ports) as process:
            yield process

    def _process(self, command: Sequence[str], port: int, **variables: str) -> Process:
        log = self.scratch / f"{Path(command[0]).name}.log"
        return Process(command, port, cwd=self.installation.programs, env=environment(**variables), log=log)


def alternate(bench: Bench, runs: int) -> tuple[Samples, Samples]:
    """Starts one and the other in turn; the first of each only warms the file cache."""
    plain, ours = Samples(), Samples()
    for run in range(-1, runs):
        for start, samples in ((bench.uvicorn, plain), (bench.lmservice, ours)):
            with start() as process:
                seconds = process.first_answer()
                if run >= 0:
                    samples.seconds.append(seconds)
                    samples.ready.append(ready_at(process.log) - process.started_at if samples is ours else seconds)
                if 0 <= run < MEMORY_RUNS:
                    samples.first.append(process.memory())
                    process.serve(REQUESTS)
                    samples.later.append(process.memory())
    return plain, ours


def beside(what: str, plain: Sequence[float], ours: Sequence[float], limit: float) -> Row:
    """One figure of both, and their ratio: of the medians, and of the least."""
    return {
        "figure": what,
        "uvicorn": median(plain),
        "lmservice": median(ours),
        "ratio": median(ours) / median(plain),
        "ratio of the least": min(ours) / min(plain),
        "limit": limit,
    }


def comparison(plain: Samples, ours: Samples) -> list[Row]:
    """The rows that set the two beside each other."""
    rows = [
        beside("process start to ready (uvicorn: to first 200), s", plain.ready, ours.ready, START_RATIO),
        beside("process start to first 200, s", plain.seconds, ours.seconds, FIRST_ANSWER_RATIO),
    ]
    moments = [
        ("after the first 200", plain.first, ours.first),
        (f"after {REQUESTS} requests", plain.later, ours.later),
    ]
    for moment, of_plain, of_ours in moments:
        for kind in ("pss", "rss"):
            plain_mib = [getattr(memory, kind) for memory in of_plain]
            ours_mib = [getattr(memory, kind) for memory in of_ours]
            rows.append(beside(f"{kind.upper()} {moment}, MiB", plain_mib, ours_mib, MEMORY_RATIO))
    return rows


def jobs(bench: Bench, kind: str, service: str) -> Row:
    """Ten start-up jobs of a second each: how long until the service is ready."""
    answers, readies = [], []
    for _ in range(JOB_RUNS):
        with bench.lmservice(service) as process:
            answers.append(process.first_answer())
        readies.append(ready_seconds(process.log))
    return {
        "kind": kind,
        "start-up to ready, s": median(readies),
        "process start to first 200, s": median(answers),
        "limit, s": JOBS_SECONDS,
    }


def ready_seconds(log: Path) -> float:
    """What the service itself logged, in seconds."""
    return float(ready_event(log)["seconds"])


def ready_at(log: Path) -> float:
    """When the service was ready, in seconds since the epoch."""
    return datetime.fromisoformat(ready_event(log)["timestamp"]).timestamp()


def ready_event(log: Path) -> dict[str, Any]:
    """The event that the service logged when it was ready."""
    for line in log.read_text().splitlines():
        if '"lmservice.ready"' in line:
            event: dict[str, Any] = json.loads(line)
            return event
    raise SystemExit(f"no lmservice.ready event in:\n{log.read_text()}")


def broken(compared: Sequence[Row], waited: Sequence[Row]) -> list[str]:
    """A line for each promise that is not kept."""
    ratios = [f"{row['figure']}: {row['ratio']:.2f} times" for row in compared if over(row, "ratio", "limit")]
    slow = "process start to first 200, s"
    return ratios + [f"ten jobs, {row['kind']}: {row[slow]:.2f} s" for row in waited if over(row, slow, "limit, s")]


def over(row: Row, figure: str, limit: str) -> bool:
    """Whether a figure is past its limit."""
    return float(row[figure]) > float(row[limit])


def main() -> int:
    """Measures, prints and records."""
    options = parser(__doc__)
    options.add_argument("--runs", type=int, default=RUNS, help="starts of each (default %(default)s)")
    given = options.parse_args()
    with clean() as installation, tempfile.TemporaryDirectory() as scratch:
        bench = Bench(installation, Path(scratch))
        compared = comparison(*alternate(bench, given.runs))
        waited = [jobs(bench, "coroutines", "jobs:coroutines"), jobs(bench, "plain functions", "jobs:functions")]
        versions = installation.versions()
    tables = [
        Table(f"Beside plain uvicorn, medians of {given.runs} starts:", compared),
        Table(f"Ten start-up jobs of 1 s each, none of which needs another, medians of {JOB_RUNS} starts:", waited),
    ]
    promises = broken(compared, waited)
    return Report("start", "Start and memory", SETTING, tables, promises, versions).publish(given.output)


if __name__ == "__main__":
    sys.exit(main())
