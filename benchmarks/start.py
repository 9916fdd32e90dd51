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
START_RATIO = 1.35
WITH_SETTINGS_RATIO = 1.1
MEMORY_RATIO = 1.28
JOBS_SECONDS = 1.5
SETTING = (
    "All run in one clean virtual environment that holds the wheel of this tree and what it depends on, byte-compiled;"
    " their runs alternate. *uvicorn* serves a bare starlette app of one route, *with settings* the same that loads one"
    " pydantic-settings model; *lmservice* runs the contract's hello service. A process is asked every millisecond"
    f" until it answers 200. Memory is the median of {MEMORY_RUNS} processes, from smaps_rollup."
)


@dataclass
class Samples:
    """What was measured of one of them."""

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
    def uvicorn(self, app: str = "bare:app") -> Iterator[Process]:
        """Plain uvicorn with a bare app."""
        port = free_port()
        command = [self.installation.command("uvicorn"), app, "--host", "0.0.0.0", "--port", str(port)]
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


def alternate(bench: Bench, runs: int) -> tuple[Samples, Samples, Samples]:
    """Starts plain uvicorn, the same with settings, and lmservice in turn; the first of each warms the file cache."""
    plain, with_settings, ours = Samples(), Samples(), Samples()
    contenders = (
        (bench.uvicorn, "bare:app", plain),
        (bench.uvicorn, "bare_settings:app", with_settings),
        (bench.lmservice, "hello:service", ours),
    )
    for run in range(-1, runs):
        for start, target, samples in contenders:
            with start(target) as process:
                seconds = process.first_answer()
                if run >= 0:
                    samples.seconds.append(seconds)
                    samples.ready.append(ready_at(process.log) - process.started_at if samples is ours else seconds)
                if 0 <= run < MEMORY_RUNS:
                    samples.first.append(process.memory())
                    process.serve(REQUESTS)
                    samples.later.append(process.memory())
    return plain, with_settings, ours


def beside(what: str, plain: Sequence[float], ours: Sequence[float], limit: float) -> Row:
    """One figure of both, and their ratio: of the medians, and of the least."""
    return {
        "figure": what,
        "beside": median(plain),
        "lmservice": median(ours),
        "ratio": median(ours) / median(plain),
        "ratio of the least": min(ours) / min(plain),
        "limit": limit,
    }


def comparison(plain: Samples, with_settings: Samples, ours: Samples) -> list[Row]:
    """The rows that set lmservice beside the others."""
    start, answer = "process start to ready", "process start to first 200"
    rows = [
        beside(f"{start}, s; uvicorn, to first 200", plain.ready, ours.ready, START_RATIO),
        beside(f"{answer}, s; uvicorn", plain.seconds, ours.seconds, START_RATIO),
        beside(f"{start}, s; with settings, to first 200", with_settings.ready, ours.ready, WITH_SETTINGS_RATIO),
        beside(f"{answer}, s; with settings", with_settings.seconds, ours.seconds, WITH_SETTINGS_RATIO),
    ]
    moments = [
        ("after the first 200", plain.first, ours.first),
        (f"after {REQUESTS} requests", plain.later, ours.later),
    ]
    for moment, of_plain, of_ours in moments:
        for kind in ("pss", "rss"):
            plain_mib = [getattr(memory, kind) for memory in of_plain]
            ours_mib = [getattr(memory, kind) for memory in of_ours]
            rows.append(beside(f"{kind.upper()} {moment}, MiB; uvicorn", plain_mib, ours_mib, MEMORY_RATIO))
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
    chosen = options.parse_args()
    with clean() as installation, tempfile.TemporaryDirectory() as scratch:
        bench = Bench(installation, Path(scratch))
        compared = comparison(*alternate(bench, chosen.runs))
        waited = [jobs(bench, "coroutines", "jobs:coroutines"), jobs(bench, "plain functions", "jobs:functions")]
        versions = installation.versions()
    tables = [
        Table(f"Beside plain uvicorn, medians of {chosen.runs} starts:", compared),
        Table(f"Ten start-up jobs of 1 s each, none of which needs another, medians of {JOB_RUNS} starts:", waited),
    ]
    promises = broken(compared, waited)
    return Report("start", "Start and memory", SETTING, tables, promises, versions).publish(chosen.output)


if __name__ == "__main__":
    sys.exit(main())
