"""Instances as processes of this machine behind HAProxy, replaced one after another."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from drain import call_stop
from installation import ROOT, Installation, clean, environment
from process import PATH, Process

sys.path.append(str(ROOT / "tests" / "harness"))

from haproxy import HAProxy
from processes import fixed_ports
from strict_client import request_bytes

STARTING = 10
SLEEP = 5.0
EXIT_LIMIT = 60.0
UP_LIMIT = 60.0
STEP = 0.05
FLIGHTS = "/flights?origin=JFK&destination=LAX&date=2013-07-04&limit=5"
CHECKS = "inter 2s downinter 500ms"


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
    command: Callable[[Installation, Slot], list[str]]
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


SEARCH = Kind(
    "lmservice, search service",
    lambda installed, _: [installed.command("lmservice"), "run", "search_service:service"],
    FLIGHTS,
    "/readyz",
    stop_by_endpoint,
)
BARE = Kind(
    f"uvicorn, preStop sleep {SLEEP:g}",
    lambda installed, slot: [installed.command("uvicorn"), "bare:app", "--port", str(slot.port)],
    PATH,
    PATH,
    stop_by_sleep,
)


@dataclass
class Fleet:
    """Instances, the slots that are free, and the seconds that each phase took.

    Attributes:
        port: the balancer's.
        old: the instances that a release replaces.
    """

    kind: Kind
    installed: Installation
    folder: Path
    running: ExitStack
    port: int
    old: list[tuple[Process, Slot]] = field(default_factory=list)
    free: SimpleQueue[Slot] = field(default_factory=SimpleQueue)
    phases: dict[str, list[float]] = field(default_factory=lambda: {"start": [], "noticed up": [], "drain": []})
    exits: Counter[int] = field(default_factory=Counter)
    balancer: HAProxy | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _count: int = 0

    @property
    def request(self) -> bytes:
        """What clients ask."""
        return request_bytes(self.kind.path)

    def replace(self) -> None:
        """Replaces every instance: an old one is stopped for each successor that gets traffic."""
        remaining: SimpleQueue[tuple[Process, Slot]] = SimpleQueue()
        for each in self.old:
            remaining.put(each)

        with ThreadPoolExecutor(len(self.old)) as stopping, ThreadPoolExecutor(STARTING) as starting:

            def one(_: int) -> Future[None]:
                self.start(self.free.get())
                return stopping.submit(self.stop, *remaining.get())

            for stopped in list(starting.map(one, range(len(self.old)))):
                stopped.result()

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
            command = self.kind.command(self.installed, slot)
            process = Process(command, slot.port, cwd=self.installed.programs, env=environment(**variables), log=log)
            self.running.enter_context(process)
        process.first_answer(self.kind.path, step=STEP)
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


@contextmanager
def serving(kind: Kind, instances: int, folder: Path) -> Iterator[Fleet]:
    """A fleet that serves."""
    search_service = ROOT / "examples" / "search-service"
    entrance, *ports = fixed_ports(1 + 4 * instances)
    slots = [Slot(f"slot{n}", ports[2 * n], ports[2 * n + 1]) for n in range(2 * instances)]
    with clean(search_service) as installed, ExitStack() as running:
        fleet = Fleet(kind, installed, folder, running, entrance)
        first = fleet.start(slots[0])  # imports the year once
        with ThreadPoolExecutor(STARTING) as starting:
            fleet.old = [first, *starting.map(fleet.start, slots[1:instances])]
        checked = {slot.name: (slot.port, kind.checked_port(slot)) for slot in slots}
        fleet.balancer = HAProxy(folder, entrance, checked, path=kind.check, every=CHECKS, timeout=60)
        running.enter_context(fleet.balancer)
        fleet.balancer.wait_checked(*(slot.name for slot in slots[:instances]), within=UP_LIMIT)
        fleet.balancer.wait_checked(*(slot.name for slot in slots[instances:]), status="DOWN", within=UP_LIMIT)
        for slot in slots[instances:]:
            fleet.free.put(slot)
        for seconds in fleet.phases.values():
            seconds.clear()
        yield fleet
