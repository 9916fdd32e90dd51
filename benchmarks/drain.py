"""Requests lost and served while one instance stops under load and another takes over: lmservice beside uvicorn."""

import asyncio
import http.client
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from installation import PROGRAMS, ROOT, current, environment
from process import PATH, Process, free_port
from report import Report, Row, Table, parser

sys.path.append(str(ROOT / "tests" / "harness"))

from strict_client import Load, request_bytes

CLIENTS = 125
MANY_CLIENTS = 1000
BEFORE = 1.0
AFTER = 1.0
SLEEP = 3.0
EXIT_LIMIT = 45.0
LATENCIES = (0.0, 0.005)
SETTING = (
    "Strict keep-alive clients, which try nothing twice, keep sending while the instance that they use"
    " stops. New connections go to it until it is removed from the endpoints, then to a second instance; a connection"
    " that is open stays until a response says close, as behind kube-proxy. A failure is a connection refused or reset,"
    " an answer cut short or not 200, or a timeout; its client goes on 10 ms later. uvicorn serves a bare starlette"
    " app, lmservice the same route with its default settings in the environment `qa`, except where a row says so."
    " *Served* is of both instances, from the moment of the stop to a second after the first was gone and removed."
)


@dataclass(frozen=True)
class Instance:
    """One server under load; `management` is the port of its management listener, 0 where it has none."""

    process: Process
    management: int = 0


Stop = Callable[[Instance], Awaitable[None]]


async def sigterm(instance: Instance) -> None:
    """Kubernetes without a preStop hook."""
    instance.process.terminate()


async def sleep_then_sigterm(instance: Instance) -> None:
    """The preStop hook that most people deploy."""
    await asyncio.sleep(SLEEP)
    instance.process.terminate()


async def hook_then_sigterm(instance: Instance) -> None:
    """The hook that lmservice brings: `/stop`, which answers once drained."""
    await asyncio.to_thread(call_stop, instance.management)
    instance.process.terminate()


def call_stop(port: int) -> None:
    """Calls `/stop` and reads its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=EXIT_LIMIT)
    connection.request("GET", "/stop")
    connection.getresponse().read()
    connection.close()


@dataclass(frozen=True)
class Case:
    """One way to stop one server; `removed` is when the endpoints lose it, in seconds after the stop began."""

    name: str
    program: str
    stop: Stop
    removed: float = 1.0
    drain_delay: str = ""
    workers: int = 1
    clients: int = CLIENTS

    @contextmanager
    def instance(self, log: Path, latency: float) -> Iterator[Instance]:
        """A server that answers."""
        port, management = free_port(), free_port()
        variables = {"LATENCY": str(latency)}
        command = [current().command("uvicorn"), "bare:app", "--port", str(port)]
        if self.program == "lmservice":
            command = [current().command("lmservice"), "run", "waiting:service"]
            variables["LM_WORKERS"] = str(self.workers)
            variables |= {"LM_ENVIRONMENT": "qa", "LM_PORT": str(port), "LM_MANAGEMENT_PORT": str(management)}
        if self.drain_delay:
            variables["LM_DRAIN_DELAY"] = self.drain_delay
        with Process(command, port, cwd=PROGRAMS, env=environment(**variables), log=log) as process:
            process.first_answer()
            yield Instance(process, management)

    async def run(self, latency: float) -> Row:
        """Rolls from one instance to the next under load."""
        with (
            tempfile.TemporaryDirectory() as logs,
            self.instance(Path(logs) / "old", latency) as old,
            self.instance(Path(logs) / "new", latency) as new,
        ):
            endpoints = [old.process.port]
            load = Load(lambda: endpoints[0], request_bytes(PATH))
            async with asyncio.TaskGroup() as group:
                group.create_task(load.run(self.clients))
                await asyncio.sleep(BEFORE)
                before = load.served
                group.create_task(self._remove(endpoints, new.process.port))
                seconds, code = await self._stop(old)
                await asyncio.sleep(max(0, self.removed - seconds) + AFTER)
                load.stop()
        return self._row(latency, load, load.served - before, seconds, code)

    async def _remove(self, endpoints: list[int], port: int) -> None:
        await asyncio.sleep(self.removed)
        endpoints[:] = [port]

    async def _stop(self, old: Instance) -> tuple[float, int]:
        began = time.perf_counter()
        await self.stop(old)
        code = await asyncio.to_thread(old.process.wait, EXIT_LIMIT)
        return time.perf_counter() - began, code

    def _row(self, latency: float, load: Load, served: int, seconds: float, code: int) -> Row:
        failures = load.failures + Counter({"refused": load.refused})
        return {
            "stop": self.name,
            "clients": self.clients,
            "handler, ms": round(latency * 1000),
            "endpoints removed after, s": self.removed,
            "failures": failures.total(),
            "served": served,
            "kinds of failure": ", ".join(f"{count} {kind}" for kind, count in failures.most_common()) or "none",
            "gone after, s": seconds,
            "exit": code,
        }


CASES = (
    Case("uvicorn, SIGTERM", "uvicorn", sigterm),
    Case("uvicorn, sleep 3 then SIGTERM", "uvicorn", sleep_then_sigterm),
    Case("lmservice, SIGTERM", "lmservice", sigterm),
    Case("lmservice, /stop then SIGTERM", "lmservice", hook_then_sigterm),
    Case("uvicorn, sleep 3 then SIGTERM", "uvicorn", sleep_then_sigterm, removed=4.0),
    Case("lmservice, SIGTERM, drain delay 3", "lmservice", sigterm, removed=4.0, drain_delay="3"),
    Case("uvicorn, sleep 3 then SIGTERM", "uvicorn", sleep_then_sigterm, clients=MANY_CLIENTS),
    Case("lmservice, SIGTERM", "lmservice", sigterm, clients=MANY_CLIENTS),
    Case("lmservice, /stop then SIGTERM", "lmservice", hook_then_sigterm, clients=MANY_CLIENTS),
)


async def measure(cases: Sequence[Case]) -> list[Row]:
    """Every case at every latency, one after another."""
    return [await case.run(latency) for latency in LATENCIES for case in cases]


def broken(rows: Sequence[Row]) -> list[str]:
    """A line for each stop of ours that lost a request or did not end cleanly."""
    ours = [row for row in rows if str(row["stop"]).startswith("lmservice")]
    return [
        f"{row['stop']}, {row['clients']} clients, {row['handler, ms']} ms:"
        f" {row['failures']} failures, exit {row['exit']}"
        for row in ours
        if row["failures"] or row["exit"]
    ]


def main() -> int:
    """Measures, prints and records."""
    given = parser(__doc__).parse_args()
    rows = asyncio.run(measure(CASES))
    tables = [Table("Failures and requests served:", rows)]
    report = Report("drain", "Rolling stop under load", SETTING, tables, broken(rows), current().versions())
    return report.publish(given.output)


if __name__ == "__main__":
    sys.exit(main())
