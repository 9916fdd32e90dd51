"""What the management endpoints answer to those who may ask."""

import gzip
import platform
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from command import PROGRAM
from processes import ServiceProcess
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as families

import lmservice
from lmservice.web.development import MANAGEMENT_PATHS

pytestmark = pytest.mark.anyio
PATHS = ["/livez", "/startupz", "/readyz", "/metrics", "/info", "/config", "/loggers", "/tasks"]
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


async def test_info_says_exactly_who_this_is(flights: Any) -> None:
    before = datetime.now(UTC)
    served = await flights(environment="qa", instance="pod-1", revision="abc", drain_delay=0, drain_quiet=0)
    response = await served.management.get("/info")
    info = response.json()
    started = datetime.fromisoformat(info.pop("started_at"))
    assert started.utcoffset() is not None
    assert -1 < (started - before).total_seconds() < 10
    assert 0 <= info.pop("uptime_seconds") < 60
    assert info == {
        "name": "flights",
        "version": "1.2.3",
        "environment": "qa",
        "instance": "pod-1",
        "revision": "abc",
        "python": platform.python_version(),
        "lmservice": lmservice.__version__,
    }


async def test_info_prefers_what_the_settings_say(flights: Any) -> None:
    info = (await (await flights(service_name="other", version="9")).management.get("/info")).json()
    assert (info["name"], info["version"]) == ("other", "9")


async def test_config_has_value_default_and_source_of_every_setting(shared: Any) -> None:
    config = (await shared.management.get("/config")).json()
    assert set(config) == set(lmservice.Settings.model_fields)
    drain = config["drain_timeout"]
    assert (drain["value"], drain["default"], drain["source"]) == (2, 20, "argument")


async def test_tasks_have_the_stacks_of_every_task_and_thread(shared: Any) -> None:
    told = (await shared.management.get("/tasks")).json()
    assert set(told) == {"tasks", "threads"}
    threads = {each["name"]: each["stack"] for each in told["threads"]}
    assert threads["management"]
    assert threads["MainThread"]
    assert all(each["stack"] for each in told["tasks"])
    assert "test_tasks_have_the_stacks_of_every_task_and_thread" in str(told)


async def test_the_index_names_every_endpoint(shared: Any) -> None:
    index = (await shared.management.get("/")).text
    assert [path for path in (*PATHS, "/stop") if path not in index] == []


@pytest.mark.parametrize("path", ["/", *PATHS])
async def test_whatever_can_be_got_answers_head_too(shared: Any, path: str) -> None:
    response = await shared.management.head(path)
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("POST", "/info"),
        ("POST", "/metrics"),
        ("PUT", "/config"),
        ("DELETE", "/tasks"),
        ("PUT", "/loggers"),
        ("GET", "/loggers/root"),
        ("POST", "/loggers/root"),
        ("DELETE", "/loggers/root"),
        ("PUT", "/stop"),
        ("DELETE", "/stop"),
        ("OPTIONS", "/stop"),
        ("HEAD", "/stop"),
    ],
)
async def test_another_method_is_405_with_those_that_are_allowed(shared: Any, method: str, path: str) -> None:
    refused = await shared.management.request(method, path)
    assert refused.status_code == 405
    assert refused.headers["allow"]
    assert method not in refused.headers["allow"].split(", ")
    assert (await shared.management.get("/readyz")).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/livez/", "/STOP", "/stop/", "/stop/now", "/loggersx", "/index.html", "/%2e%2e/stop"],
)
async def test_any_other_path_is_404_and_nothing_happens(shared: Any, path: str) -> None:
    for method in ("GET", "POST"):
        assert (await shared.management.request(method, path)).status_code == 404
    assert (await shared.management.get("/readyz")).status_code == 200


async def test_a_path_with_a_line_end_in_it_is_not_the_path_without(flights: Any) -> None:
    served = await flights()
    assert (await served.management.get("/st%0Aop")).status_code == 404
    assert (await served.management.get("/readyz")).status_code == 200


@pytest.mark.parametrize("path", ["/", *PATHS, "/loggers/root", "/stop"])
async def test_no_management_path_is_on_the_service_port(shared: Any, path: str) -> None:
    for method in ("GET", "POST", "PUT"):
        assert (await shared.client.request(method, path)).status_code == 404
    assert (await shared.client.get("/home")).text == "home"


async def test_no_path_of_the_service_is_on_the_management_port(shared: Any) -> None:
    assert (await shared.management.get("/home")).status_code == 404


async def test_metrics_are_prometheus_text_by_default(shared: Any) -> None:
    response = await shared.management.get("/metrics", headers={"accept-encoding": "identity"})
    assert response.headers["content-type"].startswith("text/plain")
    assert "content-encoding" not in response.headers
    names = {family.name for family in families(response.text)}
    assert {"lmservice_build_info", "lmservice_state", "lmservice_startup_job_duration_seconds"} <= names


@pytest.mark.parametrize("accept", [OPEN_METRICS, f"{OPEN_METRICS},text/plain;version=0.0.4;q=0.5,*/*;q=0.1"])
async def test_metrics_are_open_metrics_when_asked_for(shared: Any, accept: str) -> None:
    response = await shared.management.get("/metrics", headers={"accept": accept})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")
    parsed = open_families(response.text)  # type: ignore[no-untyped-call]
    states = next(family for family in parsed if family.name == "lmservice_state")
    assert {sample.labels["state"]: sample.value for sample in states.samples}["ready"] == 1


@pytest.mark.parametrize("accept", ["*/*", "text/html", "text/plain;version=0.0.4"])
async def test_metrics_are_text_for_whoever_asks_for_something_else(shared: Any, accept: str) -> None:
    response = await shared.management.get("/metrics", headers={"accept": accept})
    assert (response.status_code, response.headers["content-type"][:10]) == (200, "text/plain")


@pytest.mark.parametrize(
    ("accept", "packed"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("GZIP", True),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
    ],
)
async def test_metrics_are_gzipped_when_accepted(shared: Any, accept: str, packed: bool) -> None:  # noqa: FBT001
    management = shared.management
    async with management.stream("GET", "/metrics", headers={"accept-encoding": accept}) as response:
        raw = b"".join([part async for part in response.aiter_raw()])
    assert (response.headers.get("content-encoding") == "gzip") is packed
    assert b"lmservice_state" in (gzip.decompress(raw) if packed else raw)


async def test_probes_and_metrics_that_succeed_are_not_logged(flights: Any, logged: Any) -> None:
    management = (await flights()).management
    logged()
    for path in ("/livez", "/startupz", "/readyz", "/metrics"):
        await management.get(path)
    assert logged("http.request") == []


def test_a_job_that_takes_its_time_can_be_stopped_and_the_answer_is_the_same(
    start_process: Callable[..., ServiceProcess],
) -> None:
    hanging = "import asyncio\n@service.startup_job\nasync def hanging():\n    await asyncio.sleep(600)\n"
    process = start_process(PROGRAM + hanging)
    process.wait_draining()  # that is, /readyz is 503
    report = process.stop()
    assert set(report) >= {"status", "seconds", "phases", "requests"}
    assert (report["status"], report["requests"]) == ("stopped", {"served": 0, "cancelled": 0})
    assert set(report["phases"]) == {"drain_delay", "drain", "cleanup"}
    assert process.wait() == 0


async def test_the_service_knows_the_paths_that_it_leads_away_from(flights: Any) -> None:
    served = await flights()
    listed = (await served.management.get("/")).text
    paths = set(re.findall(r"/[a-z]+", listed)) - {"/{name}"}
    assert paths == MANAGEMENT_PATHS
