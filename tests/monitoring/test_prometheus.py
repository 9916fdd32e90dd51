"""A real Prometheus and a real Alertmanager beside a real service: queries that give data, alerts that come and go."""

import contextlib
import json
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import Process, ServiceProcess, free_port
from prometheus import MISSING, Alertmanager, Prometheus, Webhook, until

from tools import alertmanager, alerts, dashboard

pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"no {', '.join(MISSING)} here: Debian's prometheus and prometheus-alertmanager bring them"
)

LABELS = {"job": "shop", "environment": "production", "pod": "shop-1"}
PROGRAM = """
import os
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from lmservice import ClientPolicy, Service, Settings, retry


class ShopSettings(Settings):
    fares: str


async def call(request):
    answer = await fares.get("/")
    return PlainTextResponse(str(answer.status_code))


service = Service("shop", routes=[Route("/call", call)], settings=ShopSettings)
fares = service.client(os.environ["LM_FARES"], name="fares", policy=ClientPolicy(attempts=2, backoff_initial=0.01))
failed = []


@service.startup_job
async def dictionary():
    return {}


@service.health_check(name="fares", interval=0.2, failures=2, successes=1, critical=True)
async def fares_answers():
    (await fares.get("/")).raise_for_status()


@service.periodic_job(every=0.5)
@retry(on=ValueError, attempts=2)
async def refresh():
    failed.append(len(failed) % 2)
    if not failed[-1]:
        raise ValueError("every other time")
"""


class Dependency:
    """What the service calls: a web server in a process of its own, on one port whenever it runs."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self._process: Process | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns once it answers."""
        words = [sys.executable, "-m", "http.server", str(self._port), "--bind", "127.0.0.1"]
        self._process = Process(words, folder=self._folder).__enter__()
        until(self._answers, lambda: "the dependency")

    def _answers(self) -> bool | None:
        with contextlib.suppress(OSError), urllib.request.urlopen(self.url, timeout=5) as response:
            return bool(response.status == 200)
        return None

    def stop(self) -> None:
        """Kills it."""
        if self._process is not None:
            self._process.__exit__(None, None, None)


@pytest.fixture
def dependency(tmp_path: Path) -> Iterator[Dependency]:
    folder = tmp_path / "dependency"
    folder.mkdir()
    made = Dependency(folder)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def shop(dependency: Dependency, start_process: Callable[..., ServiceProcess]) -> ServiceProcess:
    """The service, with its dependency running."""
    settings = {
        "LM_FARES": dependency.url,
        "LM_ENVIRONMENT": "production",
        "LM_GRAPHITE_URL": f"graphite://127.0.0.1:{free_port()}",
        "LM_GRAPHITE_INTERVAL": "0.5",
    }
    return start_process(PROGRAM, settings=settings).wait_ready()


def expressions(board: dict[str, Any]) -> list[str]:
    """Every query of a dashboard, as Grafana would send it."""
    targets = (target for panel in board["panels"] for target in panel.get("targets", ()))
    window = {"$__rate_interval": "10s", "$environment": ".*"}
    found = []
    for target in targets:
        text = str(target["expr"])
        for variable, value in window.items():
            text = text.replace(variable, value)
        found.append(text)
    return found


def test_every_query_of_the_dashboard_gives_data(tmp_path: Path, shop: ServiceProcess) -> None:
    prometheus = Prometheus(
        tmp_path / "prometheus", shop.management_port, LABELS, alerts.groups("shop", "store", "https://lmservice.intra")
    )
    waiting = expressions(json.loads(dashboard.render("shop")))
    assert len(waiting) > 30

    def look() -> bool | None:
        with urllib.request.urlopen(f"{shop.url}/call", timeout=10) as response:
            assert response.status == 200
        waiting[:] = [each for each in waiting if not any(has_data(row) for row in prometheus.query(each))]
        return True if not waiting else None

    with prometheus.process:
        until(look, lambda: "\n".join(waiting))


def has_data(row: dict[str, Any]) -> bool:
    """Whether one result is a number."""
    return str(row["value"][1]) not in ("NaN", "+Inf", "-Inf")


def soon(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rules, each judged after a second in place of minutes."""
    return [
        {**group, "rules": [{**rule, "for": "1s"} if "alert" in rule else rule for rule in group["rules"]]}
        for group in groups
    ]


def test_a_dependency_that_stops_is_told_and_so_is_its_return(
    tmp_path: Path, shop: ServiceProcess, dependency: Dependency
) -> None:
    with contextlib.ExitStack() as running:
        webhook = running.enter_context(Webhook())
        teams = {"store": {kind: f"{webhook.url}/store/{kind}" for kind in ("page", "chat")}}
        manager = Alertmanager(tmp_path / "alertmanager", alertmanager.config(teams, wait="1s"))
        running.enter_context(manager.process)
        groups = soon(alerts.groups("shop", "store", "https://lmservice.intra"))
        prometheus = Prometheus(tmp_path / "prometheus", shop.management_port, LABELS, groups, manager.port)
        running.enter_context(prometheus.process)
        until(lambda: prometheus.query('lmservice_ready{job="shop"} == 1') or None, lambda: prometheus.process.output)
        assert not [alert for path, alert in webhook.told if path.endswith("/page")]

        dependency.stop()
        page = webhook.wait("/store/page", "NoInstanceIsReady", "firing")
        ticket = webhook.wait("/store/chat", "HealthCheckIsDown", "firing")
        assert page["annotations"]["summary"] == "shop in production: no instance is ready"
        assert ticket["labels"]["check"] == "fares"
        assert shop.probe("/readyz") == 503

        dependency.start()
        webhook.wait("/store/page", "NoInstanceIsReady", "resolved")
        webhook.wait("/store/chat", "HealthCheckIsDown", "resolved")
        assert shop.probe("/readyz") == 200
