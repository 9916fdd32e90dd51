"""The start and the memory of lmservice on each Python that is supported and can be had here, beside plain uvicorn."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from installation import ROOT
from report import Report, Row, Table, parser

PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
RUNS = 11
UNAVAILABLE = 69
SETTING = (
    "`./dev bench start` on one Python after the other: this machine's, or else Debian's. *uvicorn* is a bare starlette"
    " app of one route, *with settings* the same that loads one pydantic-settings model. Each figure is a ratio of"
    " medians within one run; those of two Pythons are of two runs."
)
START = "process start to ready, s; uvicorn, to first 200"
SETTINGS = "process start to ready, s; with settings, to first 200"
MEMORY = "RSS after the first 200, MiB; uvicorn"


def measured(python: str, runs: int) -> Mapping[str, Any] | None:
    """Returns what `start` found on this Python; None where it cannot be had."""
    command = ["./dev", "run", "python", "benchmarks/start.py", "--output", "json", "--runs", str(runs)]
    variables = {**os.environ, "LMSERVICE_PYTHON": python}
    done = subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == UNAVAILABLE:
        return None
    if not done.stdout:
        raise SystemExit(f"the benchmark failed on Python {python}, with exit code {done.returncode}")
    report: Mapping[str, Any] = json.loads(done.stdout)
    return report


def row(report: Mapping[str, Any]) -> Row:
    """Returns one Python's figures."""
    by_figure: dict[str, Mapping[str, Any]] = {line["figure"]: line for line in report["tables"][0]["rows"]}
    start = by_figure[START]
    return {
        "Python": report["machine"].rpartition(" ")[2],
        "start to ready, s": start["lmservice"],
        "x uvicorn": start["ratio"],
        "x uvicorn with settings": by_figure[SETTINGS]["ratio"],
        "RSS, MiB": by_figure[MEMORY]["lmservice"],
        "RSS, x uvicorn": by_figure[MEMORY]["ratio"],
    }


def main() -> int:
    """Measures, prints and records."""
    options = parser(__doc__)
    options.add_argument("--runs", type=int, default=RUNS, help="starts of each on each Python (default %(default)s)")
    options.add_argument("pythons", nargs="*", default=PYTHONS, metavar="PYTHON", help="which; default all")
    chosen = options.parse_args()
    reports = [report for python in chosen.pythons if (report := measured(python, chosen.runs)) is not None]
    if not reports:
        raise SystemExit(f"none of these Pythons can be had here: {', '.join(chosen.pythons)}")
    rows: Sequence[Row] = [row(report) for report in reports]
    tables = [Table(f"Medians of {chosen.runs} starts:", rows)]
    return Report("pythons", "Start and memory on each Python", SETTING, tables, [], reports[0]["versions"]).publish(
        chosen.output
    )


if __name__ == "__main__":
    sys.exit(main())
