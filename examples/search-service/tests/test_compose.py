"""The compose file and what it mounts, checked as far as that goes without an engine: by the programs themselves."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from search_service import service
from search_service.settings import SearchSettings
from supplier.settings import SupplierSettings

FOLDER = Path(__file__).parents[1]
ROOT = FOLDER.parents[1]
FILE = FOLDER / "docker-compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: each for name, each in SERVICES.items() if "build" in each}
SETTINGS = {"search": SearchSettings, "supplier": SupplierSettings}

KNOWN = {
    *("image", "build", "restart", "init", "read_only", "tmpfs", "cap_drop", "security_opt", "stop_grace_period"),
    *("depends_on", "healthcheck", "hostname", "environment", "command", "ports", "volumes", "stop_signal"),
}
"""The members that services have here, of those of https://github.com/compose-spec/compose-spec/blob/main/spec.md."""

each_service = pytest.mark.parametrize("name", SERVICES)
each_of_ours = pytest.mark.parametrize("name", OURS)


def run(program: str, *arguments: object) -> str:
    """What a program says about a configuration that it accepts."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def seconds(duration: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(ms|s|m)", duration).groups()  # type: ignore[union-attr]
    return float(number) * {"ms": 0.001, "s": 1, "m": 60}[unit]


def test_all_that_was_asked_for_is_there() -> None:
    images = {each["image"].partition(":")[0] for each in SERVICES.values()}
    assert images >= {
        *("postgres", "redis", "haproxy", "prom/prometheus", "prom/alertmanager"),
        *("graphiteapp/graphite-statsd", "grafana/grafana"),
    }
    assert set(OURS) == {"search-a", "search-b", "supplier-acme", "supplier-zeta"}
    assert set(COMPOSE) - {"name", "services", "volumes"} == {key for key in COMPOSE if key.startswith("x-")}


@each_service
def test_a_service_has_a_pinned_image_a_health_check_and_only_known_members(name: str) -> None:
    each = SERVICES[name]
    assert set(each) <= KNOWN
    if "build" not in each:
        assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+(\.\d+)?[a-z0-9.-]*", each["image"])
    check = each["healthcheck"]
    assert check["test"][0] == "CMD"
    assert seconds(check["timeout"]) < seconds(check["interval"]) or seconds(check["timeout"]) <= 3
    assert each["restart"] == "unless-stopped"


@each_service
def test_what_a_service_waits_for_and_mounts_is_there(name: str) -> None:
    each = SERVICES[name]
    assert set(each.get("depends_on", {})) <= set(SERVICES)
    assert all(how == {"condition": "service_healthy"} for how in each.get("depends_on", {}).values())
    for volume in each.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (FOLDER / source).is_file(), f"{source} is missing"
            assert volume.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


def test_ports_are_published_on_loopback_and_none_twice() -> None:
    published = [port.rpartition(":")[0] for each in SERVICES.values() for port in each.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert len(set(published)) == len(published)


@each_of_ours
def test_our_containers_may_do_little_and_have_the_time_to_drain(name: str) -> None:
    each = OURS[name]
    assert (each["read_only"], each["cap_drop"], each["tmpfs"]) == (True, ["ALL"], ["/tmp"])
    assert each["security_opt"] == ["no-new-privileges:true"]
    assert seconds(each["stop_grace_period"]) >= float(each["environment"]["LM_TERMINATION_GRACE_PERIOD"])
    assert each["environment"]["LM_ENVIRONMENT"] != "dev", "a stop in dev skips the delay that a balancer needs"
    assert each["hostname"] == name


@each_of_ours
def test_the_settings_of_our_containers_can_be_used_and_are_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = SETTINGS[name.partition("-")[0]]
    environment: dict[str, str] = OURS[name]["environment"]
    assert all(isinstance(value, str) for value in environment.values())
    for variable, value in environment.items():
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value))
        assert variable.removeprefix("LM_").lower() in kind.model_fields
    settings = kind.load()
    for url in (*settings.suppliers, settings.database_url, settings.redis_url, settings.graphite_url):
        assert not url or httpx.URL(url).host in SERVICES


def test_the_balancer_sends_to_both_instances_while_their_readiness_says_so() -> None:
    text = (FOLDER / "compose" / "haproxy.cfg").read_text()
    servers = dict(re.findall(r"^    server (\S+) (\S+)$", text, re.MULTILINE))
    assert servers == {name: f"{name}:8081" for name in OURS if name.startswith("search")}
    assert "uri /readyz" in text
    assert "check port 8002" in text
    assert "valid" in run("haproxy", "-c", "-f", FOLDER / "compose" / "haproxy.cfg")


def test_prometheus_takes_its_configuration_and_scrapes_everybody() -> None:
    file = FOLDER / "compose" / "prometheus.yaml"
    assert "SUCCESS" in run("promtool", "check", "config", file)
    jobs = yaml.safe_load(file.read_text())["scrape_configs"]
    targets = {target for job in jobs for each in job["static_configs"] for target in each["targets"]}
    assert targets >= {f"{name}:8002" for name in OURS}
    assert {target.partition(":")[0] for target in targets} <= {*SERVICES, "localhost"}


def test_alertmanager_takes_its_configuration() -> None:
    assert "SUCCESS" in run("amtool", "check-config", FOLDER / "compose" / "alertmanager.yaml")


def test_grafana_reads_from_services_that_are_there() -> None:
    sources = yaml.safe_load((FOLDER / "compose" / "grafana" / "datasources.yaml").read_text())["datasources"]
    assert {httpx.URL(source["url"]).host for source in sources} <= set(SERVICES)
    known = {(source["type"], source["uid"]) for source in sources}
    for panel in dashboard()["panels"]:
        assert (panel["datasource"]["type"], panel["datasource"]["uid"]) in known


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "compose" / "grafana" / "search.json").read_text())
    return found


@pytest.mark.anyio
async def test_every_metric_that_is_shown_or_alerted_of_is_one_that_the_service_has(
    run_search: Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]],
) -> None:
    expressions = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"] if "expr" in target]
    rules = yaml.safe_load((FOLDER / "compose" / "alerts.yaml").read_text())["groups"][0]["rules"]
    expressions += [rule["expr"] for rule in rules]
    bare = [re.sub(r"by \([^)]*\)|\{[^}]*\}", "", each) for each in expressions]
    shown = {name for each in bare for name in re.findall(r"\b(?:search|lmservice|http|db)_\w+", each)}
    assert len(shown) > 8
    async with run_search(suppliers=["http://127.0.0.1:9"]) as client:
        await client.get("/flights", params={"origin": "JFK", "destination": "LAX", "date": "2013-07-04"})
        families = list(service.metrics.registry.collect())
    has = {sample.name for family in families for sample in family.samples} | {family.name for family in families}
    has |= {f"{family.name}_total" for family in families if family.type == "counter"}
    assert shown <= has


def test_the_image_is_built_of_files_that_are_there_and_runs_as_nobody() -> None:
    for each in OURS.values():
        assert (FOLDER / each["build"]["context"]).resolve() == ROOT
        assert (ROOT / each["build"]["dockerfile"]).is_file()
    lines = (FOLDER / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text().split()
    for line in [line for line in lines if line.startswith("COPY") and "--from" not in line]:
        for source in line.split()[1:-1]:
            assert (ROOT / source).exists()
            assert any(f"!{each}" in ignored for each in (Path(source), *Path(source).parents))
    assert [line for line in lines if line.startswith("USER")] == ["USER 65532:65532"]
    assert [line for line in lines if line.startswith("ENTRYPOINT")] == ['ENTRYPOINT ["lmservice", "run"]']
    assert [line for line in lines if line.startswith("FROM")][-1] == "FROM ${PYTHON_IMAGE}"
