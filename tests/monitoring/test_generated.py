"""What is generated from the code is in step with it, and what it is generated from is what the code does."""

import ast
import asyncio
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from lmservice import Service, names, retry
from lmservice.messaging.intake import Intake
from lmservice.telemetry import events, log_fields
from tools import alertmanager, alerts, families, write

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "lmservice"
NAMES = {name: value for name, value in vars(names).items() if name.isupper()}


FILES = write.files()


def _rules() -> list[dict[str, Any]]:
    return [
        rule
        for group in alerts.groups("shop", "store", "https://docs.intra")
        for rule in group["rules"]
        if "alert" in rule
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_generated_file_is_in_step(path: Path) -> None:
    assert path.read_text() == FILES[path], "run ./dev generate"


@pytest.mark.anyio
async def test_every_name_is_of_a_family_that_a_service_has(serve: Any) -> None:
    @retry(on=ValueError, attempts=2)
    async def fail_once() -> None:
        failures.append(1)
        if len(failures) == 1:
            raise ValueError

    failures: list[int] = []

    async def home(_request: Any) -> PlainTextResponse:
        await fail_once()
        return PlainTextResponse("")

    async def handled() -> None:
        done.set()
        await asyncio.sleep(0.01)

    async def work(_state: Any, intake: Intake) -> None:
        while await intake.room():
            intake.take(handled())

    done = asyncio.Event()
    service = Service("shop", routes=[Route("/", home)])
    service.client("http://127.0.0.1:1")
    service.consumer_loop(concurrency=1)(work)
    served = await serve(service, graphite_url="graphite://127.0.0.1:1")
    assert (await served.client.get("/")).status_code == 200
    await done.wait()
    text = (await served.management.get("/metrics")).text
    exposed = dict(re.findall(r"^# TYPE (\S+) (\S+)", text, re.MULTILINE))
    wanted = set(NAMES.values()) - {names.LOG_EVENTS, names.WORKERS, names.WORKER_DEATHS}
    assert wanted - exposed.keys() == set()
    for family in families.families():
        labels = [
            set(re.findall(r'(\w+)="', line)) - {"le"}
            for line in re.findall(rf"^{family.name}\S*\{{.*", text, re.MULTILINE)
        ]
        assert family.labels is None or all(each == set(family.labels) for each in labels), family.name
        assert exposed.get(family.name, family.kind) == family.kind


@pytest.mark.parametrize("rule", _rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_leads_to_its_runbook(rule: dict[str, Any]) -> None:
    base, _, page = rule["annotations"]["runbook_url"].partition("/runbooks/")
    assert base == "https://docs.intra"
    assert page == f"{rule['alert']}.html"
    text = (ROOT / "docs" / "runbooks" / page).with_suffix(".md").read_text()
    assert text.startswith(f"# {rule['alert']}\n")
    assert f"({rule['alert']}.md)" in (ROOT / "docs" / "runbooks" / "index.md").read_text()


def test_no_name_of_a_metric_is_spelt_twice() -> None:
    """Neither in the package nor in what generates; names of loggers and spans have dots."""
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "tools").rglob("*.py")]:
        if path.name == "names.py":
            continue
        nodes = ast.walk(ast.parse(path.read_text()))
        texts = {node.value for node in nodes if isinstance(node, ast.Constant)}
        assert texts.isdisjoint(NAMES.values()), path


def test_the_reference_of_metrics_has_every_name() -> None:
    found = [each.name for each in families.families()]
    assert sorted(found) == sorted(set(NAMES.values()) - {names.LOG_EVENTS})


def _calls() -> list[tuple[str, str, set[str]]]:
    """Every event that the package logs: its name, its method, and the fields that are written out beside it."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            for argument in node.args:
                text = argument.value if isinstance(argument, ast.Constant) else None
                if isinstance(text, str) and re.fullmatch(r"(lmservice|http)\.[a-z_]+", text):
                    keys = {
                        str(key.value)
                        for keyword in node.keywords
                        if keyword.arg == "extra"
                        for each in ast.walk(keyword.value)
                        if isinstance(each, ast.Dict)
                        for key in each.keys
                        if isinstance(key, ast.Constant)
                    }
                    found.append((text, node.func.attr, keys))
    return [each for each in found if each[1] in {"debug", "info", "warning", "error", "critical", "log"}]


def test_every_event_that_is_logged_is_declared_with_its_fields() -> None:
    calls = _calls()
    assert len(calls) > 20
    for name, method, fields in calls:
        assert name in events.EVENTS, name
        assert method in (events.EVENTS[name].level, "log"), name
        assert fields <= events.EVENTS[name].fields.keys() | log_fields.SOMETIMES.keys(), name
    assert events.EVENTS.keys() - {name for name, _, _ in calls} == {"http.request"}  # which is composed by hand


@pytest.mark.anyio
async def test_the_events_of_a_life_have_the_fields_that_are_declared(serve: Any, logged: Any) -> None:
    async def home(_request: Any) -> PlainTextResponse:
        return PlainTextResponse("")

    served = await serve(Service("shop", routes=[Route("/", home)]))
    await served.client.get("/")
    await served.close()
    await served.running.stop()
    lines = [line for line in logged() if line["event"] in events.EVENTS]
    assert {"http.request", "lmservice.ready", "lmservice.draining", "lmservice.stopped"} <= {x["event"] for x in lines}
    for line in lines:
        known = {
            **log_fields.ALWAYS,
            **log_fields.IN_A_REQUEST,
            **log_fields.SOMETIMES,
            **events.EVENTS[line["event"]].fields,
        }
        assert log_fields.ALWAYS.keys() <= line.keys() <= known.keys()
    (access,) = [line for line in lines if line["event"] == "http.request"]
    assert events.EVENTS["http.request"].fields.keys() | log_fields.IN_A_REQUEST.keys() <= access.keys()


@pytest.mark.skipif(not shutil.which("amtool"), reason="there is no amtool: Debian's prometheus-alertmanager has it")
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("team=store environment=production severity=page", "store-page"),
        ("team=store environment=production severity=ticket", "store-chat"),
        ("team=store environment=qa severity=page", "store-chat"),
        ("team=web environment=production severity=page", "web-page"),
        ("severity=page", "store-chat"),
    ],
)
def test_an_alert_goes_where_its_environment_and_team_say(tmp_path: Path, labels: str, receiver: str) -> None:
    teams = {team: {kind: f"http://{team}.intra/{kind}" for kind in ("page", "chat")} for team in ("store", "web")}
    (tmp_path / "alertmanager.yaml").write_text(yaml.safe_dump(alertmanager.config(teams)))
    command = ["amtool", "config", "routes", "test", "--config.file=alertmanager.yaml", *labels.split()]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (0, receiver), ran.stderr


@pytest.mark.parametrize("path", ["docs/how-to/monitor/vector.yaml", "docs/how-to/monitor/fluent-bit.yaml"])
def test_a_log_shippers_example_counts_what_the_alerts_ask_for(path: str) -> None:
    text = (ROOT / path).read_text()
    assert yaml.safe_load(text)
    assert names.LOG_EVENTS in text
    for event in re.findall(r"lmservice\.[a-z_]+", text):
        assert event in events.EVENTS
