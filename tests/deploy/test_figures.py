"""The analysis by a real Prometheus, which scrapes two real services as the canary and the stable version."""

import re
import shutil
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from processes import ServiceProcess, free_port
from prometheus import Prometheus, until
from strict_client import Connection, request_bytes

from lmservice.deploy import DeploySettings, DeployUsageError
from lmservice.deploy.analysis import Outcome, Window, judge
from lmservice.deploy.figures import Counts, FiguresError, PrometheusMetrics, counted, parsed
from lmservice.deploy.pods import Pod
from lmservice.deploy.settings import load
from lmservice.names import REQUEST_DURATION as HISTOGRAM
from lmservice.names import REQUESTS_REJECTED as REJECTED

NEEDS_PROMETHEUS = pytest.mark.skipif(not shutil.which("prometheus"), reason="no prometheus here: Debian's brings it")
NAMES = {"canary": "shop-canary-1", "stable": "shop-1"}
PODS = [Pod(NAMES[track], "1", track == "canary", "i", "", ready=True, ending=False, restarts=0, problem="", waiting="")
        for track in NAMES]  # fmt: skip
PROGRAM = """
import asyncio
import itertools
import os
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from lmservice import Service

error_every, slow_every = (int(each) for each in os.environ["EVERY"].split())
numbers = itertools.count(1)


async def home(request):
    number = next(numbers)
    await asyncio.sleep(0.3 if not number % slow_every else 0.002)
    return PlainTextResponse("", status_code=500 if not number % error_every else 200)


service = Service("shop", routes=[Route("/", home)])
"""


@dataclass
class Scraped:
    """Two services, what Prometheus knows of them, and a window over it."""

    services: dict[str, ServiceProcess]
    prometheus: Prometheus

    @property
    def metrics(self) -> PrometheusMetrics:
        """What a release reads."""
        return PrometheusMetrics(f"http://127.0.0.1:{self.prometheus.port}/")

    def ask(self, version: str, requests: int) -> None:
        """Sends so many requests, one after another."""
        with Connection(self.services[version].port) as connection:
            for _ in range(requests):
                connection.send(request_bytes())
                connection.receive()

    def exposed(self, version: str) -> Counts:
        """What the service itself says."""
        with urllib.request.urlopen(f"{self.services[version].management_url}/metrics", timeout=10) as answer:
            return counted(parsed(answer.read().decode()))

    def wait_scraped(self) -> None:
        """Returns once Prometheus has what the services say now."""
        wanted = {NAMES[version]: self.exposed(version) for version in self.services}
        until(lambda: self.metrics.read("team", list(NAMES.values())) == wanted or None, lambda: wanted)


@pytest.fixture
def scrape(tmp_path: Path, start_process: Callable[..., ServiceProcess]) -> Iterator[Callable[..., Scraped]]:
    """Starts the two, each with how often it errs and how often it is slow, and a Prometheus beside them."""
    running: list[Prometheus] = []

    def start(canary: str, stable: str) -> Scraped:
        every = {"canary": canary, "stable": stable}
        services = {name: start_process(PROGRAM, settings={"EVERY": every[name]}).wait_ready() for name in every}
        (first, labels), *more = [
            (service.management_port, {"job": "shop", "namespace": "team", "pod": NAMES[version]})
            for version, service in services.items()
        ]
        running.append(Prometheus(tmp_path / "prometheus", first, labels, [], more=dict(more)))
        running[0].process.__enter__()
        scraped = Scraped(services, running[0])
        until(lambda: len(scraped.prometheus.query("lmservice_ready")) == 2 or None, lambda: "not scraped")
        return scraped

    yield start
    for program in running:
        program.process.__exit__(None, None, None)


@NEEDS_PROMETHEUS
def test_counts_are_those_that_the_service_tells_and_the_p99_is_prometheus_own(scrape: Callable[..., Scraped]) -> None:
    scraped = scrape("10 50", "1000000 1000000")
    before = scraped.metrics.read("team", list(NAMES.values()))
    assert before == {name: Counts() for name in NAMES.values()}, "pods that were asked nothing yet have counts of 0"
    scraped.ask("canary", 300)
    scraped.wait_scraped()
    figures = scraped.metrics.read("team", list(NAMES.values()))[NAMES["canary"]]
    assert (figures.requests, figures.errors) == (300, 30)
    assert figures.routes == scraped.exposed("canary").routes == {"GET /": figures}
    query = f'histogram_quantile(0.99, sum by (le) ({HISTOGRAM}_bucket{{pod="{NAMES["canary"]}"}}))'
    (own,) = scraped.prometheus.query(query)
    assert figures.quantile(0.99) == pytest.approx(float(own["value"][1]), rel=0.05)
    assert 0.2 < figures.quantile(0.99) < 0.6


@NEEDS_PROMETHEUS
@pytest.mark.parametrize(
    ("canary", "outcome", "reason"),
    [
        ("1000000 1000000", Outcome.PASSED, "no worse"),
        (
            "5 1000000",
            Outcome.FAILED,
            r"20\.0% of the canary's 200 answers were errors, 0\.0% of the stable version's 200",
        ),
        ("1000000 20", Outcome.FAILED, r"the canary's p99 was 0\.\d+ s"),
    ],
    ids=["as good", "errors", "slow"],
)
def test_a_canary_is_judged_by_what_came_since_its_window_began(
    scrape: Callable[..., Scraped], canary: str, outcome: Outcome, reason: str
) -> None:
    scraped = scrape(canary, "1000000 1000000")
    scraped.ask("stable", 50)
    scraped.wait_scraped()
    window = Window(scraped.metrics, "team")
    window.read(PODS)
    for version in NAMES:
        scraped.ask(version, 200)
    scraped.wait_scraped()
    window.read(PODS)
    assert (window.canary.requests, window.stable.requests) == (200, 200)
    verdict = judge(window.canary, window.stable, PODS, DeploySettings(), window.gap)
    assert (verdict.outcome, bool(re.search(reason, verdict.reason))) == (outcome, True), verdict


@NEEDS_PROMETHEUS
def test_series_that_are_not_there_are_said_with_their_labels(scrape: Callable[..., Scraped]) -> None:
    scraped = scrape("1 1", "1 1")
    window = Window(scraped.metrics, "another-team")
    window.read(PODS)
    host = f"127.0.0.1:{scraped.prometheus.port}"
    message = f"Prometheus at {host} has no figures of the canary's pods (namespace another-team, pod shop-canary-1)"
    assert (window.gap, window.unread) == (message, 0)


@NEEDS_PROMETHEUS
def test_what_prometheus_refuses_is_said_in_its_words(scrape: Callable[..., Scraped]) -> None:
    with pytest.raises(FiguresError, match=r"refuses the query: 400 .*parse error"):
        scrape("1 1", "1 1").metrics.read("team", ['"'])


def test_a_prometheus_that_is_away_is_named_without_its_password() -> None:
    port = free_port()
    with pytest.raises(FiguresError) as caught:
        PrometheusMetrics(f"http://release:hunter2@127.0.0.1:{port}/prometheus").read("team", ["a"])
    assert str(caught.value) == f"Prometheus at 127.0.0.1:{port} gives no figures: [Errno 111] Connection refused"


def test_a_prometheus_that_accepts_and_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmservice.deploy.figures._TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        metrics = PrometheusMetrics(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(FiguresError, match="timed out"):
            metrics.read("team", ["a"])


def test_a_page_that_is_no_prometheus_and_a_password_that_it_asks_for() -> None:
    """As a proxy with a login stands before it."""
    asked: list[str | None] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.headers["Authorization"])
            self.send_response(200 if asked[-1] else 401)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Proxy) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        host = f"127.0.0.1:{server.server_port}"
        with pytest.raises(FiguresError, match="refuses the query: 401 Unauthorized"):
            PrometheusMetrics(f"http://{host}").read("team", ["a"])
        with pytest.raises(FiguresError, match="is LM_DEPLOY_PROMETHEUS_URL its base"):
            PrometheusMetrics(f"http://user:p%40ss@{host}").read("team", ["a"])
        server.shutdown()
    assert asked == [None, "Basic dXNlcjpwQHNz"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "prometheus:9090", "http://"])
def test_a_url_that_no_prometheus_can_have_is_refused_as_a_setting(url: str) -> None:
    with pytest.raises(DeployUsageError, match="LM_DEPLOY_PROMETHEUS_URL"):
        load(prometheus_url=url)


@contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[HTTPServer]:
    """A server that answers each POST so, until the end."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer(self)

        do_GET = do_POST  # noqa: N815 - its name

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def redirect(request: BaseHTTPRequestHandler, status: int, url: str) -> None:
    request.send_response(status)
    request.send_header("Location", url)
    request.send_header("Content-Length", "0")
    request.end_headers()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_neither_the_query_nor_the_password_goes_along_with_a_redirect_to_another_host(status: int) -> None:
    heard: list[str] = []

    def listen(request: BaseHTTPRequestHandler) -> None:
        heard.append(str(request.headers))
        request.send_error(404)

    with answering(listen) as other, answering(lambda request: redirect(request, status, elsewhere)) as server:
        elsewhere = f"http://localhost:{other.server_port}/api/v1/query"
        metrics = PrometheusMetrics(f"http://me:hunter2@127.0.0.1:{server.server_port}")
        with pytest.raises(FiguresError, match="it redirects to localhost: name that in LM_DEPLOY_PROMETHEUS_URL"):
            metrics.read("team", ["shop-1"])
    assert heard == []


@pytest.mark.parametrize("status", [302, 308])
def test_a_redirect_within_the_host_is_followed_with_the_query_and_the_password(status: int) -> None:
    heard: list[tuple[str, str]] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path.startswith("/api"):
            redirect(request, status, f"http://127.0.0.1:{server.server_port}/prometheus{request.path}")
            return
        heard.append((request.command, request.headers["Authorization"]))
        body = b'{"data": {"result": []}}'
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    with answering(answer) as server:
        assert PrometheusMetrics(f"http://me:hunter2@127.0.0.1:{server.server_port}").read("team", ["shop-1"]) == {}
    assert [command for command, _ in heard] == ["POST"]
    assert heard[0][1].startswith("Basic ")


def test_answers_that_a_caller_did_not_wait_for_are_no_errors_of_a_version() -> None:
    text = f"""
# TYPE {HISTOGRAM} histogram
{HISTOGRAM}_count{{http_request_method="GET",http_route="/",http_response_status_code="200"}} 90
{HISTOGRAM}_count{{http_request_method="GET",http_route="/",http_response_status_code="504"}} 10
# TYPE {REJECTED} counter
{REJECTED}{{reason="deadline"}} 8
{REJECTED}{{reason="timeout"}} 2
"""
    counts = counted(parsed(text))
    assert (counts.requests, counts.errors) == (100, 2)
