"""Latency of requests while a hundred thousand series are scraped and pushed: lmservice beside prometheus_client."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from installation import PROGRAMS, current, environment
from pace import CONNECTIONS, paced, run
from process import PATH, Process, free_port
from report import Report, Row, Table, parser

RATE = 500.0
SECONDS = 12.0
WARM_UP = 2.0
ROUNDS = 5
PUSH_INTERVAL = 3.0
RATIO = 2.0
PROBE_LIMIT = 100.0
WATCHER = Path(__file__).with_name("watcher.py")
SETTING = (
    f"{RATE:g} requests a second, at fixed moments, over {CONNECTIONS} keep-alive connections for {SECONDS:g} s, by one"
    " process; a request's latency counts from the moment when it was due. The registry has 100,000 series: counters,"
    " gauges and histograms with two labels each. *Scraped* is asked for its metrics once a second, as Prometheus 3"
    f" does, with gzip; lmservice also pushes all of them to Graphite every {PUSH_INTERVAL:g} s, 2,000,000 a minute,"
    " and has its `/livez` asked twenty times a second. *prometheus_client's app* is `make_asgi_app` mounted in a"
    " starlette app of the same route on plain uvicorn. The runs alternate; medians of {rounds} rounds. All of it"
    " shares the machine's cores."
)


@dataclass
class Found:
    """What a run found, in seconds; `lines` are those that Graphite got, a minute."""

    latencies: list[float]
    scrapes: list[float] = field(default_factory=list)
    probes: list[float] = field(default_factory=list)
    lines: float = 0.0


def percentile(seconds: Sequence[float], which: int) -> float:
    """A percentile, in ms."""
    return 1000 * quantiles(seconds, n=100)[which - 1]


@dataclass(frozen=True)
class Server:
    """One of the two: how it is started, and where its metrics are."""

    name: str
    command: Sequence[str]
    metrics: str
    ours: bool

    def run(self, *, scraped: bool) -> Found:
        """Starts it, loads it, and ends it."""
        port, management, sink = free_port(), free_port(), free_port()
        variables = {"LM_PORT": str(port), "LM_MANAGEMENT_PORT": str(management)}
        if scraped:
            variables |= {"LM_GRAPHITE_URL": f"graphite://127.0.0.1:{sink}", "LM_GRAPHITE_INTERVAL": str(PUSH_INTERVAL)}
        program, *arguments = self.command
        command = [current().command(program), *arguments, *([] if self.ours else ["--port", str(port)])]
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            with Process(command, port, cwd=PROGRAMS, env=environment(**variables), log=log) as process:
                process.first_answer()
                run(paced(port, PATH, rate=RATE, seconds=WARM_UP))
                if not scraped:
                    return Found(run(paced(port, PATH, rate=RATE, seconds=SECONDS)))
                return self._watched(port, management if self.ours else port, sink)

    def _watched(self, port: int, scraped: int, sink: int) -> Found:
        """Loads it while a process of its own scrapes, probes and counts."""
        options = ["--port", str(scraped), "--sink", str(sink), "--metrics", self.metrics]
        command = [sys.executable, str(WATCHER), *options, *(["--probe"] if self.ours else [])]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watcher:
            if watcher.stdout is None or watcher.stdout.readline() != "ready\n":
                raise SystemExit("the watcher did not begin")
            began = time.perf_counter()
            latencies = run(paced(port, PATH, rate=RATE, seconds=SECONDS))
            seconds = time.perf_counter() - began
            found = json.loads(watcher.communicate()[0])
        return Found(latencies, found["scrapes"], found["probes"], found["lines"] * 60 / seconds)


SERVERS = (
    Server("lmservice", ("lmservice", "run", "series:service"), "/metrics", ours=True),
    Server("prometheus_client's app", ("uvicorn", "series_bare:app"), "/metrics/", ours=False),
)


@dataclass
class Compared:
    """One server's runs, left alone and scraped."""

    server: Server
    quiet: list[Found] = field(default_factory=list)
    scraped: list[Found] = field(default_factory=list)

    def latency(self) -> Row:
        """The row that sets the two beside each other, in ms."""
        quiet, scraped = ([percentile(found.latencies, 99) for found in runs] for runs in (self.quiet, self.scraped))
        halves = [median(percentile(found.latencies, 50) for found in runs) for runs in (self.quiet, self.scraped)]
        return {
            "server": self.server.name,
            "quiet p50, ms": halves[0],
            "quiet p99, ms": median(quiet),
            "scraped p50, ms": halves[1],
            "scraped p99, ms": median(scraped),
            "ratio of p99": median(scraped) / median(quiet),
            "ratio of the least": min(scraped) / min(quiet),
            "limit": RATIO if self.server.ours else "none",
        }

    def scrape(self) -> Row:
        """The row of what the watcher found."""
        probes = [each for found in self.scraped for each in found.probes]
        return {
            "server": self.server.name,
            "scrape, s": median(each for found in self.scraped for each in found.scrapes),
            "pushed, a minute": round(median(found.lines for found in self.scraped)),
            "/livez p99, ms": percentile(probes, 99) if probes else "none",
            "limit, ms": PROBE_LIMIT if probes else "none",
        }


def measure(rounds: int) -> list[Compared]:
    """Every server, left alone and scraped, in turn."""
    compared = [Compared(server) for server in SERVERS]
    for _ in range(rounds):
        for each in compared:
            each.quiet.append(each.server.run(scraped=False))
            each.scraped.append(each.server.run(scraped=True))
    return compared


def broken(latencies: Sequence[Row], scrapes: Sequence[Row]) -> list[str]:
    """A line for each promise that is not kept."""
    ours, scrape = latencies[0], scrapes[0]
    lines = []
    if float(ours["ratio of p99"]) > RATIO:
        lines.append(f"p99 while scraped and pushed: {ours['ratio of p99']:.2f} times the quiet one, limit {RATIO:g}")
    if float(scrape["/livez p99, ms"]) > PROBE_LIMIT:
        lines.append(f"/livez while scraped: {scrape['/livez p99, ms']:.0f} ms, limit {PROBE_LIMIT:g}")
    return lines


def main() -> int:
    """Measures, prints and records."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=ROUNDS, help="runs of each (default %(default)s)")
    given = options.parse_args()
    compared = measure(given.rounds)
    latencies, scrapes = [each.latency() for each in compared], [each.scrape() for each in compared]
    tables = [Table("Latency of requests:", latencies), Table("The scrapes themselves:", scrapes)]
    setting = SETTING.replace("{rounds}", str(given.rounds))
    title = "A large registry, scraped and pushed"
    report = Report("scrape", title, setting, tables, broken(latencies, scrapes), current().versions())
    return report.publish(given.output)


if __name__ == "__main__":
    sys.exit(main())
