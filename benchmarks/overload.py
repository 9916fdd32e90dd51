"""What a service does when more requests come than it can serve: `./dev bench overload`, in under five minutes.

Each system runs alone on one core, the callers on another. What a service can do is measured first, by a closed loop;
then requests come at random (`open_loop`), so many times that, whether or not they are answered.
"""

import asyncio
import contextlib
import os
import selectors
import signal
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from installation import current
from open_loop import WAIT, Outcome, best, offer
from process import Process, free_port
from report import Report, Row, Table, parser

PROGRAMS = Path(__file__).resolve().parent / "programs"
SECONDS, WARM_UP, CLOSED_LOOP = 5.0, 1.5, 2.0
PATHS = {"/compute": "2 ms of computing", "/wait": "a dependency that serves 10 at once, 10 ms each"}
LOADS = {"adaptive": (0.7, 0.9, 2.0, 4.0), "fixed": (0.9, 2.0), "uvicorn, 25": (0.9, 2.0), "uvicorn, 220": (0.9, 2.0)}
LEAST = {2.0: 0.9, 4.0: 0.8}
REFUSED = 0.001
SLOWEST = 4.0
NICEST = -19
SETTING = (
    f"One core for the service, another for the callers, who come at random (Poisson) over 200 connections and wait"
    f" {WAIT * 1000:.0f} ms; {SECONDS:g} s a point, behind {WARM_UP:g} s of the same load that are not counted."
    " *Can do* is what 24 callers get that ask again as soon as they are answered. *Useful* are answers in time."
    " *adaptive* and *fixed* are `LM_CONCURRENCY`, with the access log; *uvicorn* is the same handlers in bare"
    " starlette without one, with that `--limit-concurrency`, which counts connections too; what it can do is taken to"
    " be the same."
)
T = TypeVar("T")


@dataclass(frozen=True)
class Point:
    """One system at one load."""

    system: str
    path: str
    load: float
    can: float
    outcome: Outcome

    @property
    def useful(self) -> float:
        """Useful answers a second."""
        return len(self.outcome.useful) / SECONDS

    @property
    def refused(self) -> float:
        """The share of all that was refused."""
        return self.outcome.refused / max(1, self.outcome.offered)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs it on a loop whose timers are exact to less than a millisecond."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(work)


@contextlib.contextmanager
def served(system: str) -> Iterator[tuple[Process, int]]:
    """Have a system serve, on the first core alone."""
    port = free_port()
    environment = {
        **os.environ, "PYTHONPATH": str(PROGRAMS), "LM_PORT": str(port), "LM_MANAGEMENT_PORT": str(free_port()),
        "LM_CONCURRENCY": system, "LM_ENVIRONMENT": "production", "LM_LOG_FORMAT": "json",
    }  # fmt: skip
    command = ["lmservice", "run", "overloaded:service"]
    if system.startswith("uvicorn"):
        limit = system.partition(", ")[2]
        command = ["uvicorn", "overloaded:app", "--port", str(port), "--no-access-log", "--limit-concurrency", limit]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with Process(["taskset", "-c", "0", *command], port, cwd=PROGRAMS, env=environment, log=log) as process:
            process.first_answer("/hello", step=0.05)
            yield process, port


def points(system: str, path: str, can: float = 0.0) -> list[Point]:
    """One system under each of its loads; `can` is what it can do, where that is known."""
    with served(system) as (_, port):
        can = can or run(best(port, path, CLOSED_LOOP))
        return [
            Point(system, path, load, can, run(offer(port, path, [(load * can, WARM_UP + SECONDS)], warm_up=WARM_UP)))
            for load in LOADS[system]
        ]


def slower(load: float = 0.9) -> list[Row]:
    """Answers by second, of a dependency that is ten times slower from the fourth to the seventh."""
    with served("adaptive") as (process, port):
        can = run(best(port, "/wait", CLOSED_LOOP))

        async def disturbed() -> Outcome:
            loop = asyncio.get_running_loop()
            loop.call_later(3.3, os.kill, process.pid, signal.SIGUSR1)
            loop.call_later(7.3, os.kill, process.pid, signal.SIGUSR2)
            return await offer(port, "/wait", [(load * can, 11.0)])

        outcome = run(disturbed())
    spans = {"before": (1, 3), "slower, its first second": (3, 4), "slower": (4, 7), "its first second": (7, 8)}
    return [
        {
            "dependency": name,
            "useful a second": round(_between(outcome.at, begin, end)),
            "refused a second": round(_between(outcome.refused_at, begin, end)),
        }
        for name, (begin, end) in {**spans, "as quick as before": (9, 11)}.items()
    ]


def recovery(path: str) -> Row:
    """What is refused once the load has fallen from four times what can be done to half of it."""
    with served("adaptive") as (_, port):
        can = run(best(port, path, CLOSED_LOOP))
        outcome = run(offer(port, path, [(4 * can, 3.0), (0.5 * can, 4.0)]))
    return {
        "handler": PATHS[path],
        "refused at 4": sum(at < 3 for at in outcome.refused_at),
        "in the 2 s after": sum(3 <= at < 5 for at in outcome.refused_at),
        "later": sum(at >= 5 for at in outcome.refused_at),
    }


def _between(moments: list[float], begin: float, end: float) -> float:
    return sum(begin <= at < end for at in moments) / (end - begin)


def row(point: Point, most: float) -> Row:
    """A line of the table; `most` is the best that the system gave at any load."""
    return {
        "system": point.system,
        "offered, of what it can do": point.load,
        "can do, a second": round(point.can),
        "useful a second": round(point.useful),
        "of its best": point.useful / most if most else 0.0,
        "refused, %": 100 * point.refused,
        "late": point.outcome.late,
        "p50, ms": 1000 * point.outcome.quantile(0.5),
        "p99, ms": 1000 * point.outcome.quantile(0.99),
    }


def broken(found: list[Point]) -> list[str]:
    """A line for each promise that is not kept."""
    lines = []
    most = max(point.useful for point in found)
    usual = next(point.outcome.quantile(0.99) for point in found if point.load == LOADS["adaptive"][0])
    for point in found:
        where = f"{PATHS[point.path]}, {point.load:g} times what can be done"
        if point.useful < LEAST.get(point.load, 0.0) * most:
            lines.append(f"{where}: {point.useful / most:.2f} of the best, {LEAST[point.load]} was promised")
        if point.load < 1 and point.refused > REFUSED:
            lines.append(f"{where}: {point.refused:.2%} refused, {REFUSED:.1%} at most was promised")
        if point.load > 1 and point.outcome.quantile(0.99) > SLOWEST * usual:
            lines.append(f"{where}: p99 is {point.outcome.quantile(0.99) / usual:.1f} times that at 0.7")
    return lines


def main() -> int:
    """Measures, prints and records."""
    given = parser(__doc__).parse_args()
    os.sched_setaffinity(0, {1})
    with contextlib.suppress(OSError):  # whoever else uses the machine is to disturb little
        Path("/proc/self/autogroup").write_text(str(NICEST))
        os.setpriority(os.PRIO_PROCESS, 0, NICEST)
    tables, lines = [], []
    for path, about in PATHS.items():
        found = {"adaptive": points("adaptive", path)}
        can = found["adaptive"][0].can
        found |= {system: points(system, path, can) for system in LOADS if system != "adaptive"}
        most = {system: max(point.useful for point in ours) for system, ours in found.items()}
        rows = [row(point, most[system]) for system, ours in found.items() for point in ours]
        tables.append(Table(f"{about[0].upper()}{about[1:]}:", rows))
        lines += broken(found["adaptive"])
    tables.append(Table("The dependency ten times slower for four seconds, 0.9 of what it can do offered:", slower()))
    recovered = [recovery(path) for path in PATHS]
    tables.append(Table("Requests refused as the load falls from 4 to 0.5 of what can be done:", recovered))
    lines += [f"{line['handler']}: {line['later']} refused 2 s after" for line in recovered if line["later"]]
    report = Report("overload", "More requests than can be served", SETTING, tables, lines, current().versions())
    return report.publish(given.output)


if __name__ == "__main__":
    began = time.time()
    code = main()
    print(f"{time.time() - began:.0f} s", file=sys.stderr)
    sys.exit(code)
