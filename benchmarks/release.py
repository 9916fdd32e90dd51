"""A whole release under load: every instance of the search service replaced, unnoticed by clients that never retry."""

import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from fleet import LMSERVICE, SLEEP, STARTING, UVICORN, Fleet, Kind, fleet_of, roll
from installation import ROOT, current
from report import Report, Row, Table, parser

sys.path.append(str(ROOT / "tests"))

from strict_client import Load, request_bytes

INSTANCES = 100
CLIENTS = 20
PAUSE = 0.2
LIMIT = 90.0
SETTING = (
    "Processes of this machine behind HAProxy with retries off, whose active checks ask each instance every second."
    f" {CLIENTS} strict keep-alive clients, which try nothing twice, ask, wait for the answer and {PAUSE:g} s, and ask"
    f" again, throughout. {STARTING} successors start at a time, and an old instance is stopped for each that HAProxy"
    " takes as up, as Kubernetes does it, for which a pod on its way out is none of the surge; the seconds are from the"
    " first start to the last exit."
    " *lmservice* runs the search service on one shared SQLite file with default settings in the environment `qa`,"
    " asked for flights, and is stopped by `/stop`; *uvicorn* runs a bare starlette app of one route, and is"
    f" stopped by the hook that most deploy: sleep {SLEEP:g}, then SIGTERM. A failure is a connection refused, reset or"
    " cut short, an answer of 400 or more, or a timeout."
)


async def measure(kind: Kind, instances: int) -> Row:
    """One release under load."""
    with tempfile.TemporaryDirectory() as name, fleet_of(kind, instances, Path(name)) as (fleet, entrance, old):
        load = Load(lambda: entrance, request_bytes(kind.path), pause=PAUSE)
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run(CLIENTS))
            await asyncio.sleep(1)
            began = time.monotonic()
            await asyncio.to_thread(roll, fleet, old)
            seconds = time.monotonic() - began
            await asyncio.sleep(1)
            load.stop()
    return _row(fleet, load, instances, seconds)


def _row(fleet: Fleet, load: Load, instances: int, seconds: float) -> Row:
    failures = load.failures + Counter({"refused": load.refused})
    phases = {name: mean(each) for name, each in fleet.phases.items()}
    slowest = max(phases, key=lambda name: phases[name])
    return {
        "name": fleet.kind.name,
        "instances": instances,
        "seconds": seconds,
        "requests": load.served,
        "failures": failures.total(),
        "kinds of failure": ", ".join(f"{count} {kind}" for kind, count in failures.most_common()) or "none",
        "slowest phase": slowest,
        **{f"{name}, mean s": value for name, value in phases.items()},
        "exits": ", ".join(f"{count} x {code}" for code, count in sorted(fleet.exits.items())),
    }


def broken(rows: Sequence[Row]) -> list[str]:
    """A line for each promise that ours did not keep."""
    ours = rows[0]
    lines = []
    if ours["failures"] or ours["exits"] != f"{ours['instances']} x 0":
        lines.append(f"{ours['name']}: {ours['failures']} failures, exits {ours['exits']}")
    if ours["instances"] == INSTANCES and float(ours["seconds"]) > LIMIT:
        lines.append(f"{ours['name']}: {ours['seconds']:.0f} s, more than {LIMIT:g}")
    return lines


def main() -> int:
    """Measures, prints and records."""
    words = parser(__doc__)
    words.add_argument("--instances", type=int, default=INSTANCES, metavar="N")
    words.add_argument("--platform", choices=["processes"], default="processes")
    given = words.parse_args()
    if not shutil.which("haproxy"):
        raise SystemExit("there is no haproxy on PATH (Debian: apt-get install haproxy)")
    rows = [asyncio.run(measure(kind, given.instances)) for kind in (LMSERVICE, UVICORN)]
    tables = [Table(f"{given.instances} instances replaced:", rows)]
    name = f"release {given.platform}"
    return Report(name, "A release under load", SETTING, tables, broken(rows), current().versions()).publish(
        given.output
    )


if __name__ == "__main__":
    sys.exit(main())
