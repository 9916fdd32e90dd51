"""The alerts, each on series that must raise it, through promtool's own unit tests."""

import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from lmservice import names
from tools import alerts
from tools.queries import Queries

PROMTOOL = shutil.which("promtool")
pytestmark = pytest.mark.skipif(not PROMTOOL, reason="there is no promtool here: Debian's package prometheus brings it")

TARGET = {"job": "shop", "environment": "production", "pod": "shop-1", "instance": "10.0.0.1:8002"}
ENVIRONMENT = {"environment": "production"}
BY_JOB = {"job": "shop", "environment": "production"}


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    """One series of one instance, as promtool reads it."""
    told = ", ".join(f'{key}="{value}"' for key, value in {**TARGET, **labels}.items())
    return {"series": f"{name}{{{told}}}", "values": values}


def requests(values: str, status: str, le: str = "") -> dict[str, str]:
    """Requests that were counted with one status."""
    labels = {"http_request_method": "GET", "http_route": "/", "http_response_status_code": status}
    suffix = "_bucket" if le else "_count"
    return series(f"{names.REQUEST_DURATION}{suffix}", values, **labels, **({"le": le} if le else {}))


def logged(event: str, values: str) -> dict[str, str]:
    """Log lines that the shipper has counted."""
    told = f'service="shop", environment="production", event="{event}", pod="shipper"'
    return {"series": f"{names.LOG_EVENTS}{{{told}}}", "values": values}


class Case(NamedTuple):
    """Series that raise one alert at a time in minutes, and the labels that it has beyond those of all."""

    series: list[dict[str, str]]
    at: int
    labels: dict[str, str]


CHECK = {**TARGET, "check": "database"}
CALL = {"client": "fares", "host": "fares:8081"}
CASES = {
    "ErrorBudgetBurnsFast": Case([requests("0+98x90", "200"), requests("0+2x90", "500")], 80, BY_JOB),
    "ErrorBudgetBurns": Case([requests("0+996x800", "200"), requests("0+4x800", "503")], 780, BY_JOB),
    "RequestsAreSlow": Case(
        [requests("0+50x30", "200", "1.0"), requests("0+60x30", "200", "2.5"), requests("0+60x30", "200", "+Inf"),
         requests("0+60x30", "200")],
        25, {**BY_JOB, "http_route": "/"},
    ),
    "RequestsAreRejected": Case(
        [series(names.REQUESTS_REJECTED, "0+5x20", reason="concurrency")], 15, {**ENVIRONMENT, "reason": "concurrency"}
    ),
    "NoInstanceIsReady": Case([series(names.READY, "0x10"), series(names.READY, "0x10", pod="shop-2")], 5, BY_JOB),
    "InstanceIsNotReady": Case(
        [series(names.READY, "0x20"), series(names.READY, "1x20", pod="shop-2"),
         series(names.STATE, "1x20", state="ready"), series(names.STATE, "0x20", state="draining")],
        10, TARGET,
    ),
    "HealthCheckIsDown": Case([series(names.HEALTH_CHECK_STATUS, "1 1 0x10", check="database")], 6, CHECK),
    "EventLoopStalls": Case([series(names.EVENT_LOOP_LAG, "0 0 3 0 0")], 4, TARGET),
    "MetricsAreGone": Case([series("up", "1x10 stale")], 30, BY_JOB),
    "InstanceIsNotScraped": Case([series("up", "1 1 0x20")], 12, TARGET),
    "StartFails": Case([series("process_start_time_seconds", "0 60 120 180 180 180")], 4, ENVIRONMENT),
    "StartTakesLong": Case(
        [series(names.STATE, "1x20", state="starting"), series(names.READY, "0x20")],
        8, {**TARGET, "state": "starting"},
    ),
    "DrainCutOffWork": Case([logged("lmservice.cut_off", "_x5 1x20")], 8, ENVIRONMENT),
    "BreakerIsOpen": Case(
        [series(names.CLIENT_BREAKER_STATE, "1x10", state="open", **CALL)], 5, {**ENVIRONMENT, **CALL}
    ),
    "RetryBudgetIsExhausted": Case(
        [series(names.CLIENT_RETRY_BUDGET_EXHAUSTED, "0+3x20", **CALL)], 15, {**ENVIRONMENT, **CALL}
    ),
    "PeriodicJobFails": Case(
        [series(names.PERIODIC_JOB_RUNS, "0+1x90", exported_job="refresh", outcome="failure"),
         series(names.PERIODIC_JOB_RUNS, "9x90", exported_job="refresh", outcome="success")],
        80, {**ENVIRONMENT, "pod": "shop-1", "exported_job": "refresh"},
    ),
    "PeriodicJobIsStuck": Case(
        [series(names.PERIODIC_JOB_RUNNING_SECONDS, "0 0 0+60x30", exported_job="refresh"),
         series(names.PERIODIC_JOB_INTERVAL, "60x30", exported_job="refresh")],
        20, {**TARGET, "exported_job": "refresh"},
    ),
    "GraphitePushFails": Case(
        [series(names.GRAPHITE_PUSHES, "0+1x90", outcome="failed"),
         series(names.GRAPHITE_PUSHES, "9x90", outcome="sent")],
        80, {**ENVIRONMENT, "pod": "shop-1"},
    ),
}  # fmt: skip
LESS = {
    "ErrorBudgetBurnsFast": Case([requests("0+995x90", "200"), requests("0+5x90", "500")], 80, {}),
    "RequestsAreSlow": Case(
        [requests("0+60x30", "200", "1.0"), requests("0+60x30", "200", "+Inf"), requests("0+60x30", "200")], 25, {}
    ),
    "RequestsAreSlow of streams": Case(
        [requests("0+30x30", "200", "1.0"), requests("0+30x30", "200", "30.0"), requests("0+60x30", "200", "+Inf"),
         requests("0+60x30", "200")],
        25, {},
    ),
    "PeriodicJobIsStuck": Case(
        [series(names.PERIODIC_JOB_RUNNING_SECONDS, "0 0 0+60x70", exported_job="report"),
         series(names.PERIODIC_JOB_INTERVAL, "3600x70", exported_job="report")],
        70, {},
    ),
    "InstanceIsNotReady": Case(
        [series(names.READY, "0x20"), series(names.STATE, "1x20", state="draining")], 10, {}
    ),
    "HealthCheckIsDown": Case([series(names.HEALTH_CHECK_STATUS, "1 0 1 0 1 0 1", check="database")], 6, {}),
    "MetricsAreGone": Case([series("up", "1x10 stale"), series("up", "1x40", instance="10.0.0.2:8002")], 30, {}),
    "StartFails": Case([series("process_start_time_seconds", "0 0 60 60 60")], 4, {}),
    "DrainCutOffWork": Case([logged("lmservice.cut_off", "5x40")], 30, {}),
    "GraphitePushFails": Case(
        [series(names.GRAPHITE_PUSHES, "0+1x90", outcome="failed"),
         series(names.GRAPHITE_PUSHES, "0+1x90", outcome="sent")],
        80, {},
    ),
}  # fmt: skip
"""The same, but not so much that anybody has to be told."""


def promtool(folder: Path, tests: list[dict[str, Any]]) -> None:
    """Runs unit tests of the rules."""
    (folder / "rules.yaml").write_text(
        yaml.safe_dump({"groups": alerts.groups("shop", "store", "https://lmservice.intra")})
    )
    suite = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    (folder / "tests.yaml").write_text(yaml.safe_dump(suite))
    ran = subprocess.run(
        ["promtool", "test", "rules", "tests.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def fires(name: str, case: Case, *, firing: bool = True) -> dict[str, Any]:
    """promtool's test of one case."""
    labels = {**case.labels, "severity": SEVERITY[name], "team": "store", "service": "shop"}
    told = ", ".join(f'{key}="{value}"' for key, value in labels.items())
    sample = {"labels": f'ALERTS{{alertname="{name}", alertstate="firing", {told}}}', "value": 1}
    expression = f'ALERTS{{alertname="{name}", alertstate="firing"}}'
    expected = {"expr": expression, "eval_time": f"{case.at}m", "exp_samples": [sample] if firing else []}
    return {"interval": "1m", "input_series": case.series, "promql_expr_test": [expected]}


SEVERITY = {each.name: each.severity for each in alerts.alerts(Queries("shop"))}


def test_every_alert_has_a_case() -> None:
    assert set(CASES) == set(SEVERITY)


@pytest.mark.parametrize("name", CASES)
def test_an_alert_fires(tmp_path: Path, name: str) -> None:
    promtool(tmp_path, [fires(name, CASES[name])])


@pytest.mark.parametrize("name", LESS)
def test_less_than_that_tells_nobody(tmp_path: Path, name: str) -> None:
    promtool(tmp_path, [fires(name.split(maxsplit=1)[0], LESS[name], firing=False)])


def test_a_start_that_fails_before_it_is_scraped_is_seen_in_the_log(tmp_path: Path) -> None:
    promtool(tmp_path, [fires("StartFails", Case([logged("lmservice.start_failed", "_x5 3x20")], 8, ENVIRONMENT))])


def test_nothing_fires_where_all_is_well(tmp_path: Path) -> None:
    well = [
        requests("0+100x800", "200"), requests("0+100x800", "200", "0.1"), requests("0+100x800", "200", "+Inf"),
        series(names.READY, "1x800"), series(names.STATE, "1x800", state="ready"), series("up", "1x800"),
        series(names.STATE, "0x800", state="starting"), series(names.HEALTH_CHECK_STATUS, "1x800", check="database"),
        series(names.EVENT_LOOP_LAG, "0.001x800"), series("process_start_time_seconds", "1x800"),
        series(names.CLIENT_BREAKER_STATE, "0x800", state="open", **CALL),
        series(names.GRAPHITE_PUSHES, "0+1x800", outcome="sent"),
        series(names.GRAPHITE_PUSHES, "0x800", outcome="failed"),
        series(names.PERIODIC_JOB_RUNS, "0+1x800", exported_job="refresh", outcome="success"),
        series(names.PERIODIC_JOB_RUNS, "0x800", exported_job="refresh", outcome="failure"),
        series(names.REQUESTS_REJECTED, "0x800", reason="concurrency"),
        series(names.REQUESTS_REJECTED, "0+5x800", reason="gone"),
        requests("0+5x800", "504"), series(names.REQUESTS_REJECTED, "0+5x800", reason="deadline"),
        series(names.CLIENT_RETRY_BUDGET_EXHAUSTED, "0x800", **CALL), logged("lmservice.cut_off", "0x800"),
    ]  # fmt: skip
    quiet = {"expr": "ALERTS", "eval_time": "790m", "exp_samples": []}
    promtool(tmp_path, [{"interval": "1m", "input_series": well, "promql_expr_test": [quiet]}])


def test_what_is_told_names_the_service_the_place_and_the_amount(tmp_path: Path) -> None:
    case = CASES["EventLoopStalls"]
    (alert,) = [each for each in alerts.alerts(Queries("shop")) if each.name == "EventLoopStalls"]
    expected = {
        "exp_labels": {**TARGET, "severity": "ticket", "team": "store", "service": "shop"},
        "exp_annotations": {
            "summary": "shop in production: the event loop of shop-1 stood still for 3s",
            "action": alert.action,
            "runbook_url": "https://lmservice.intra/runbooks/EventLoopStalls.html",
        },
    }
    told = {"eval_time": "4m", "alertname": "EventLoopStalls", "exp_alerts": [expected]}
    promtool(tmp_path, [{"interval": "1m", "input_series": case.series, "alert_rule_test": [told]}])
