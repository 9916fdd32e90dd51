"""CPU time of an outbound call: `lmservice.Client` beside a bare `httpx.AsyncClient`, against the same local server."""

import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median

import httpx
from installation import PROGRAMS, current, environment
from process import PATH, Process, free_port
from prometheus_client import CollectorRegistry
from report import Report, Row, Table, parser

from lmservice import Client
from lmservice.telemetry import context

ROUNDS = 9
CALLS = 1000
WARM_UP = 300
RATIO = 1.1
SETTING = (
    "One process calls one server, uvicorn with a bare starlette app in a process of its own, over one keep-alive"
    f" connection, one call after another: {CALLS} calls with one client, then as many with the other, in turns. The"
    " CPU is the calling process's own (user and system, `time.process_time`). Both clients have their defaults;"
    " *in a request* is within a service's request, whose trace and id the client passes on and whose deadline it"
    " keeps."
)

Get = Callable[[str], Awaitable[httpx.Response]]


class Request:
    """A request under way, as a service's own layer describes it."""

    request_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    span_id = "00f067aa0ba902b7"
    trace_flags = "01"
    trace_state = ""
    baggage = ""

    @property
    def deadline(self) -> float:
        """Half a minute from now."""
        return time.monotonic() + 30


async def microseconds(get: Get, calls: int) -> float:
    """CPU time of one call, in microseconds."""
    gc.collect()
    began = time.process_time()
    for _ in range(calls):
        response = await get(PATH)
        if response.status_code != httpx.codes.OK:
            raise SystemExit(f"the server answered {response.status_code}")
    return (time.process_time() - began) / calls * 1e6


async def measure(url: str, rounds: int) -> list[Row]:
    """Both clients in turn, outside of a request and in one."""
    rows = []
    async with httpx.AsyncClient(base_url=url) as bare, Client(url, registry=CollectorRegistry()) as ours:
        for where, request in (("alone", None), ("in a request", Request())):
            context.request.set(request)
            rows.append(beside(where, *await alternate(bare.get, ours.get, rounds)))
    return rows


async def alternate(bare: Get, ours: Get, rounds: int) -> tuple[list[float], list[float]]:
    """So many rounds of each, one after the other, after a few calls that do not count."""
    found: tuple[list[float], list[float]] = [], []
    for get in (bare, ours):
        await microseconds(get, WARM_UP)
    for _ in range(rounds):
        for get, samples in zip((bare, ours), found, strict=True):
            samples.append(await microseconds(get, CALLS))
    return found


def beside(where: str, bare: Sequence[float], ours: Sequence[float]) -> Row:
    """One figure of both, and their ratio: of the medians, and of the least."""
    return {
        "call": where,
        "httpx, µs": median(bare),
        "lmservice, µs": median(ours),
        "ratio": median(ours) / median(bare),
        "ratio of the least": min(ours) / min(bare),
        "limit": RATIO,
    }


def broken(rows: Sequence[Row]) -> list[str]:
    """A line for each promise that is not kept."""
    return [f"{row['call']}: {row['ratio']:.2f} times" for row in rows if float(row["ratio"]) > RATIO]


def main() -> int:
    """Measures, prints and records."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each (default %(default)s)")
    given = options.parse_args()
    port = free_port()
    command = [current().command("uvicorn"), "bare:app", "--port", str(port), "--no-access-log"]
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "server"
        with Process(command, port, cwd=PROGRAMS, env=environment(), log=log) as server:
            server.first_answer()
            rows = asyncio.run(measure(f"http://127.0.0.1:{port}", given.rounds))
    tables = [Table(f"CPU per call, medians of {given.rounds} turns, with httpx {httpx.__version__}:", rows)]
    return Report("client", "Outbound calls", SETTING, tables, broken(rows), current().versions()).publish(given.output)


if __name__ == "__main__":
    sys.exit(main())
