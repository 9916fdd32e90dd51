"""A whole release under load: every instance of the search service replaced, unnoticed by clients that never retry."""

import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import mean
from typing import Protocol

import fleet
import pods
from installation import ROOT, current
from report import Report, Row, Table, parser

sys.path.append(str(ROOT / "tests" / "harness"))

from search_release import SURGE
from strict_client import Load

INSTANCES = 100
CLIENTS = 20
PAUSE = 0.2
CLIENTS_DO = (
    f"{CLIENTS} strict keep-alive clients, which try nothing twice, ask, wait for the answer and {PAUSE:g} s, and ask"
    " again, throughout. A failure is a connection refused, reset or cut short, an answer of 400 or more, or a timeout."
)
SETTINGS = {
    "processes": (
        "Processes of this machine behind HAProxy with retries off, whose active checks ask each instance every 2 s, as"
        " the template's probe of readiness does, and what is down every 0.5 s."
        f" {CLIENTS_DO} {fleet.STARTING} successors start at a time, and an old instance is stopped for each that"
        " HAProxy takes as up, as Kubernetes does it, for which a pod on its way out is none of the surge; the seconds"
        " are from the first start to the last exit. *lmservice* runs the search service on one shared SQLite file with"
        " default settings in the environment `qa`, asked for flights, and is stopped by `/stop`; *uvicorn* runs a"
        " bare starlette app of one route, and is stopped by the hook that most deploy:"
        f" sleep {fleet.SLEEP:g}, then SIGTERM."
    ),
    "kubernetes": (
        "Pods of a cluster on this machine (control plane, kubelet, containerd and traefik as ingress share its cores)."
        f" {CLIENTS_DO} The seconds are from the start of the command to the end of the last old pod."
        " *lmservice* is the search service on one PostgreSQL, by the manifests of its environment `qa`, released by"
        " `lmservice deploy run --strategy rolling`, asked for flights; *uvicorn* runs a bare starlette app of one"
        f" route from the same image, with the preStop hook that most deploy, sleep {pods.SLEEP}, released by"
        f" `kubectl set image`; both with a surge of {SURGE} and none unavailable."
    ),
}
LIMITS = {"processes": 90.0, "kubernetes": 240.0}


class Serving(Protocol):
    """Instances that serve, and what became of each in their replacement."""

    port: int
    phases: dict[str, list[float]]
    exits: Counter[int]

    @property
    def request(self) -> bytes:
        """What clients ask."""

    def replace(self) -> None:
        """Replaces every instance, and returns when the last old one has ended."""


async def measure(name: str, instances: int, serving: AbstractContextManager[Serving]) -> Row:
    """One release under load."""
    with serving as served:
        load = Load(lambda: served.port, served.request, pause=PAUSE)
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run(CLIENTS))
            await asyncio.sleep(1)
            began = time.monotonic()
            await asyncio.to_thread(served.replace)
            seconds = time.monotonic() - began
            await asyncio.sleep(1)
            load.stop()
    failures = load.failures + Counter({"refused": load.refused})
    phases = {phase: mean(each) for phase, each in served.phases.items()}
    return {
        "name": name,
        "instances": instances,
        "seconds": seconds,
        "requests": load.served,
        "failures": failures.total(),
        "kinds of failure": ", ".join(f"{count} {kind}" for kind, count in failures.most_common()) or "none",
        "slowest phase": max(phases, key=lambda phase: phases[phase]),
        **{f"{phase}, mean s": value for phase, value in phases.items()},
        "exits": ", ".join(f"{count} x {code}" for code, count in sorted(served.exits.items())),
    }


def rows(platform: str, instances: int) -> list[Row]:
    """Ours, and what one does without it."""
    made: list[Row] = []
    for kind in (fleet.SEARCH, fleet.BARE) if platform == "processes" else (pods.SEARCH, pods.BARE):
        with tempfile.TemporaryDirectory() as name:
            serving = (
                fleet.serving(kind, instances, Path(name))
                if isinstance(kind, fleet.Kind)
                else pods.serving(kind, instances, Path(name))
            )
            made.append(asyncio.run(measure(kind.name, instances, serving)))
    return made


def broken(platform: str, rows: Sequence[Row]) -> list[str]:
    """A line for each promise that ours did not keep."""
    ours = rows[0]
    lines = []
    if ours["failures"] or ours["exits"] != f"{ours['instances']} x 0":
        lines.append(f"{ours['name']}: {ours['failures']} failures, exits {ours['exits']}")
    if ours["instances"] == INSTANCES and float(ours["seconds"]) > LIMITS[platform]:
        lines.append(f"{ours['name']}: {ours['seconds']:.0f} s, more than {LIMITS[platform]:g}")
    return lines


def main() -> int:
    """Measures, prints and records."""
    words = parser(__doc__)
    words.add_argument("--instances", type=int, default=INSTANCES, metavar="N")
    words.add_argument("--platform", choices=sorted(SETTINGS), default="processes")
    given = words.parse_args()
    if given.platform == "kubernetes" and not pods.is_inside():
        return pods.inside(sys.argv)
    if given.platform == "processes" and not shutil.which("haproxy"):
        raise SystemExit("there is no haproxy on PATH (Debian: apt-get install haproxy)")
    measured = rows(given.platform, given.instances)
    tables = [Table(f"{given.instances} instances replaced:", measured)]
    title = f"A release under load: {given.platform}"
    report = Report(
        f"release {given.platform}",
        title,
        SETTINGS[given.platform],
        tables,
        broken(given.platform, measured),
        current().versions(),
    )
    return report.publish(given.output)


if __name__ == "__main__":
    sys.exit(main())
