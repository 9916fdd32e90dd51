"""What an idle keep-alive connection costs: memory each, and the CPU of looking after all of them."""

import asyncio
import resource
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from installation import PROGRAMS, current, environment
from process import PATH, Process, free_port
from report import Report, Row, Table, parser

CONNECTIONS = 10_000
IDLE_SECONDS = 20
SETTLING_SECONDS = 3
AT_ONCE = 100
MEMORY_RATIO = 0.7
SWEEPS_PERCENT = 1.0
SETTING = (
    f"{CONNECTIONS} connections are opened to one process, {AT_ONCE} at a time; each asks once, reads its answer and"
    " stays idle. Memory is the growth of the process's RSS, over the connections; CPU is what the process takes in"
    f" {IDLE_SECONDS} s while nothing comes, with those connections and without any. uvicorn serves a bare starlette"
    " app, lmservice the same route with its default settings, management listener and heartbeat included."
)
REQUEST = f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


async def opened(port: int, count: int) -> list[socket.socket]:
    """Return connections, each of which has been answered once."""
    loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)

    async def one() -> socket.socket:
        async with gate:
            sock = socket.socket()
            sock.setblocking(False)  # noqa: FBT003 - as the standard library has it
            await loop.sock_connect(sock, ("127.0.0.1", port))
            await loop.sock_sendall(sock, REQUEST)
            if b" 200 " not in await loop.sock_recv(sock, 65_536):
                raise SystemExit("a connection was not answered")
            return sock

    return await asyncio.gather(*(one() for _ in range(count)))


async def cpu(process: Process) -> float:
    """Return the CPU that a process takes while nothing comes, in percent of a core."""
    before = sum(process.cpu())
    await asyncio.sleep(IDLE_SECONDS)
    return (sum(process.cpu()) - before) / IDLE_SECONDS * 100


async def measure(name: str, words: Sequence[str], variables: dict[str, str]) -> Row:
    """Measure one server."""
    port = free_port()
    command = [current().command(words[0]), *(word.replace("PORT", str(port)) for word in words[1:])]
    settings = {key: value.replace("PORT", str(port)) for key, value in variables.items()}
    with (
        tempfile.TemporaryDirectory() as logs,
        Process(command, port, cwd=PROGRAMS, env=environment(**settings), log=Path(logs) / "log") as process,
    ):
        process.first_answer()
        for sock in await opened(port, AT_ONCE):
            sock.close()
        await asyncio.sleep(SETTLING_SECONDS)
        alone, memory = await cpu(process), process.memory().rss
        connections = await opened(port, CONNECTIONS)
        await asyncio.sleep(SETTLING_SECONDS)
        grown = process.memory().rss - memory
        with_all = await cpu(process)
        for sock in connections:
            sock.close()
    return {
        "server": name,
        "memory each, KiB": grown * 1024 / CONNECTIONS,
        "CPU without any, % of a core": alone,
        "CPU with all, % of a core": with_all,
    }


async def measure_all() -> list[Row]:
    """Measure both, and give lmservice's beside uvicorn's."""
    bare = await measure("uvicorn", ["uvicorn", "bare:app", "--port", "PORT", "--timeout-keep-alive", "600"], {})
    variables = {"LM_ENVIRONMENT": "qa", "LM_PORT": "PORT", "LM_MANAGEMENT_PORT": "0", "LM_KEEP_ALIVE_TIMEOUT": "600"}
    ours = await measure("lmservice", ["lmservice", "run", "waiting:service"], variables)
    each = "memory each, KiB"
    return [{**row, "times uvicorn": float(row[each]) / float(bare[each])} for row in (bare, ours)]


def broken(rows: Sequence[Row]) -> list[str]:
    """Return a line for each promise that is not kept."""
    ours, lines = rows[1], []
    if float(ours["times uvicorn"]) > MEMORY_RATIO:
        lines.append(f"{ours['times uvicorn']:.2f} times uvicorn's memory each, at most {MEMORY_RATIO} was promised")
    sweeps = float(ours["CPU with all, % of a core"]) - float(ours["CPU without any, % of a core"])
    if sweeps > SWEEPS_PERCENT:
        lines.append(f"looking after them takes {sweeps:.2f} % of a core, at most {SWEEPS_PERCENT} was promised")
    return lines


def main() -> int:
    """Measure, print and record."""
    given = parser(__doc__).parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < CONNECTIONS + 1000:
        raise SystemExit(f"{most} open files are allowed, and {CONNECTIONS + 1000} needed: ulimit -n {2 * CONNECTIONS}")
    rows = asyncio.run(measure_all())
    tables = [Table(f"{CONNECTIONS} idle connections:", rows)]
    report = Report("idle", "Idle connections", SETTING, tables, broken(rows), current().versions())
    return report.publish(given.output)


if __name__ == "__main__":
    sys.exit(main())
