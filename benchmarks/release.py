"""A whole release under load: every instance of the search service replaced, unnoticed by clients that never retry."""

import asyncio
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from statistics import mean

from drain import call_stop
from installation import PROGRAMS, ROOT, current, environment
from process import Process
from report import Report, Row, Table, parser

sys.path.append(str(ROOT / "tests"))

from acceptance.haproxy import HAProxy
from processes import fixed_ports
from strict_client import Load, request_bytes

INSTANCES = 100
CLIENTS = 20
PAUSE = 0.2
STARTING = 6
SLEEP = 5.0
LIMIT = 90.0
EXIT_LIMIT = 60.0
UP_LIMIT = 60.0
FLIGHTS = "/flights?origin=JFK&destination=LAX&date=2013-07-04&limit=5"
HELLO = "/hello/world"
CHECKS = "inter 1s fastinter 500ms"
SETTING = (
    "Processes of this machine behind HAProxy with retries off, whose active checks ask each instance every second."
    f" {CLIENTS} strict keep-alive clients, which try nothing twice, ask, wait for the answer and {PAUSE:g} s, and ask"
    f" again, throughout. As in a Deployment with a surge of a quarter, {STARTING} successors start at a time, and an"
    " old instance is stopped for each that HAProxy takes as up; the seconds are from the first start to the last exit."
    " *lmservice* runs the search service on one shared SQLite file with default settings in the environment `qa`,"
    " asked for flights, and is stopped by `/stop`; *uvicorn* runs a bare starlette app of one route, and is"
    f" stopped by the hook that most deploy: sleep {SLEEP:g}, then SIGTERM. A failure is a connection refused, reset or"
    " cut short, an answer of 400 or more, or a timeout."
)


@dataclass(frozen=True)
class Slot:
    """A place in the balancer's list: two ports."""

    name: str
    port: int
    management: int


@dataclass(frozen=True)
class Kind:
    """What is released: how an instance starts and stops, what clients ask it and what the balancer checks."""

    name: str
    command: Callable[[Slot], list[str]]
    path: str
    check: str
    stop: Callable[[Process, Slot], None]

    def checked_port(self, slot: Slot) -> int:
        """The port that the balancer's checks go to."""
        return slot.management if self.check != self.path else slot.port


def stop_by_endpoint(_: Process, slot: Slot) -> None:
    """The hook that lmservice brings."""
    call_stop(slot.management)


def stop_by_sleep(process: Process, _: Slot) -> None:
    """The hook that most people deploy."""
    time.sleep(SLEEP)
    process.terminate()


LMSERVICE = Kind(
    "lmservice, search service",
    lambda _: [current().command("lmservice"), "run", "search_service:service"],
    FLIGHTS,
    "/readyz",
    stop_by_endpoint,
)
UVICORN = Kind(
    f"uvicorn, preStop sleep {SLEEP:g}",
    lambda slot: [current().command("uvicorn"), "bare:app", "--port", str(slot.port)],
    HELLO,
    HELLO,
    stop_by_sleep,
)


@dataclass
class Fleet:
    """Instances, the slots that are free, and the seconds that each phase took."""

    kind: Kind
    folder: Path
    running: ExitStack
    free: SimpleQueue[Slot] = field(default_factory=SimpleQueue)
    phases: dict[str, list[float]] = field(default_factory=lambda: {"start": [], "noticed up": [], "drain": []})
    exits: Counter[int] = field(default_factory=Counter)
    balancer: HAProxy | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _count: int = 0

    def start(self, slot: Slot) -> tuple[Process, Slot]:
        """One instance, once it answers and gets traffic."""
        began = time.monotonic()
        with self._lock:
            self._count += 1
            variables = {
                "LM_ENVIRONMENT": "qa",
                "LM_PORT": str(slot.port),
                "LM_MANAGEMENT_PORT": str(slot.management),
                "LM_DATABASE_URL": f"sqlite+aiosqlite:///{self.folder}/timetable.db",
            }
            log = self.folder / f"{self._count}.log"
            command = self.kind.command(slot)
            process = Process(command, slot.port, cwd=PROGRAMS, env=environment(**variables), log=log)
            self.running.enter_context(process)
        process.first_answer(self.kind.path)
        answering = time.monotonic()
        if self.balancer:
            self.balancer.wait_checked(slot.name, within=UP_LIMIT)
        self.phases["start"].append(answering - began)
        self.phases["noticed up"].append(time.monotonic() - answering)
        return process, slot

    def stop(self, process: Process, slot: Slot) -> None:
        """Its drain, to its exit; then its slot is free."""
        began = time.monotonic()
        self.kind.stop(process, slot)
        self.exits[process.wait(EXIT_LIMIT)] += 1
        self.phases["drain"].append(time.monotonic() - began)
        self.free.put(slot)


def roll(fleet: Fleet, old: Sequence[tuple[Process, Slot]]) -> None:
    """Replaces every instance: an old one is stopped for each successor that gets traffic."""
    remaining: SimpleQueue[tuple[Process, Slot]] = SimpleQueue()
    for each in old:
        remaining.put(each)

    with ThreadPoolExecutor(len(old)) as stopping, ThreadPoolExecutor(STARTING) as starting:

        def replace(_: int) -> Future[None]:
            fleet.start(fleet.free.get())
            return stopping.submit(fleet.stop, *remaining.get())

        for stopped in list(starting.map(replace, range(len(old)))):
            stopped.result()


@contextmanager
def fleet_of(kind: Kind, instances: int, folder: Path) -> Iterator[tuple[Fleet, int, list[tuple[Process, Slot]]]]:
    """A fleet that serves, and the port in front of it."""
    spare = max(1, instances // 4)
    entrance, *ports = fixed_ports(1 + 2 * (instances + spare))
    slots = [Slot(f"slot{n}", ports[2 * n], ports[2 * n + 1]) for n in range(instances + spare)]
    with ExitStack() as running:
        fleet = Fleet(kind, folder, running)
        first = fleet.start(slots[0])  # imports the year once
        with ThreadPoolExecutor(STARTING) as starting:
            old = [first, *starting.map(fleet.start, slots[1:instances])]
        checked = {slot.name: (slot.port, kind.checked_port(slot)) for slot in slots}
        fleet.balancer = HAProxy(folder, entrance, checked, path=kind.check, every=CHECKS, timeout=60)
        running.enter_context(fleet.balancer)
        fleet.balancer.wait_checked(*(slot.name for slot in slots[:instances]), within=UP_LIMIT)
        fleet.balancer.wait_checked(*(slot.name for slot in slots[instances:]), status="DOWN", within=UP_LIMIT)
        for slot in slots[instances:]:
            fleet.free.put(slot)
        for seconds in fleet.phases.values():
            seconds.clear()
        yield fleet, entrance, old


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
