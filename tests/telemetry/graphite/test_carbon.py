"""What a real carbon has stored of a service's metrics, as whisper tells it."""

import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from carbon import Carbon
from processes import ServiceProcess

from lmservice.testing import running

Pushing = Callable[..., ServiceProcess]
COUNT = "http_server_request_duration_seconds_count"
ANSWERED = "http_request_method=GET;http_response_status_code=200"
HELLO = f"{COUNT};environment=dev;{ANSWERED};http_route=_hello__name_;instance=one;service=pushed"
SLOW = f"{COUNT};environment=dev;{ANSWERED};http_route=_slow;instance=one;service=pushed"
NEVER = "86400"


def get(process: ServiceProcess, path: str = "/hello/world") -> bytes:
    with urllib.request.urlopen(process.url + path, timeout=20) as response:
        body: bytes = response.read()
        return body


def tagged(metric: str, **labels: str) -> str:
    """As an instance pushes it; the name has its prefix, where it has one."""
    own = {"environment": "dev", "instance": "one", "service": "pushed"}
    return metric + "".join(f";{name}={value}" for name, value in sorted({**own, **labels}.items()))


def test_metrics_arrive_tagged(carbon: Carbon, pushing: Pushing) -> None:
    process = pushing(carbon.start().url)
    for _ in range(3):
        get(process)
    stored = carbon.wait_for(HELLO, 3)
    assert 1 in stored[tagged("lmservice_state", state="ready")]
    for bound in ("Inf", "10.0"):
        assert 3 in stored[HELLO.replace("_count;", "_bucket;").replace(";service", f";le={bound};service")]


def test_metrics_arrive_dotted_under_a_prefix(carbon: Carbon, pushing: Pushing) -> None:
    process = pushing(carbon.start().url, GRAPHITE_TAGS="false", GRAPHITE_PREFIX="services.pushed")
    get(process)
    path = f"{COUNT}.http_request_method.GET.http_response_status_code.200.http_route._hello__name_"
    stored = carbon.wait_for(f"services.pushed.{path}", 1)
    assert 1 in stored["services.pushed.lmservice_state.state.ready"]
    assert all(name.startswith("services.pushed.") for name in stored)
    assert 2 in stored["services.pushed.odd.name.other"]


def test_dotted_names_have_the_instance_by_default_so_that_none_overwrites_anothers(
    carbon: Carbon, pushing: Pushing
) -> None:
    carbon.start()
    for instance in ("pod-1", "pod.2"):
        pushing(carbon.url, GRAPHITE_TAGS="false", INSTANCE=instance)
    for cleaned in ("pod-1", "pod_2"):
        carbon.wait_for(f"pushed.dev.{cleaned}.lmservice_state.state.ready", 1)


def test_a_label_that_carbon_has_no_line_for_costs_its_sample_alone(carbon: Carbon, pushing: Pushing) -> None:
    process = pushing(carbon.start().url, LONG="20000")
    carbon.wait_for(tagged("after_it"), 1)
    carbon.wait_for(tagged("long", which="short"), 2)
    warning = process.event("lmservice.graphite_line_too_long")
    assert (warning["family"], warning["label"], warning["length"]) == ("long", "which", 20_000)
    assert process.stop()["status"] == "stopped"
    assert len([each for each in process.logs if each["event"] == warning["event"]]) == 1


def test_tagged_names_have_the_prefix_too(carbon: Carbon, pushing: Pushing) -> None:
    pushing(carbon.start().url, GRAPHITE_PREFIX="a.b")
    carbon.wait_for(tagged("a.b.lmservice_state", state="ready"), 1)


def test_tags_keep_graphites_rules_whatever_the_labels(carbon: Carbon, pushing: Pushing) -> None:
    """`name` is a tag of Graphite's own, a tag has a value, and no number that is none is sent."""
    pushing(carbon.start().url)
    stored = carbon.wait_for(tagged("odd", kind="_x", name_="a_b_c"), 1)
    assert 2 in stored[tagged("odd", name_="other")]
    assert 3 in stored[tagged("odd", kind="__y_", name_="_n_")]
    assert 1e-300 in stored[tagged("number", which="small")]
    assert [name for name in stored if name.startswith("number;") and "small" not in name] == []


def test_the_last_push_carries_what_was_served_in_the_drain(carbon: Carbon, pushing: Pushing) -> None:
    process = pushing(carbon.start().url, GRAPHITE_INTERVAL=NEVER)
    get(process)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(get, process, "/slow")
        process.wait_answering("/metrics", 200)
        while 'active_requests{http_request_method="GET"} 1' not in process.manage("/metrics")[1]:
            pass
        report = process.begin_stop()
        assert answer.result() == b"slow"
    assert report.result()["requests"]["served"] == 1
    assert process.wait() == 0
    stored = carbon.wait_for(SLOW, 1)
    assert stored[HELLO] == [1]


def test_a_carbon_that_is_down_at_first_costs_one_warning(carbon: Carbon, pushing: Pushing) -> None:
    process = pushing(carbon.url, GRAPHITE_INTERVAL="0.2")
    process.event("lmservice.graphite_failed")
    get(process)
    failed = 'lmservice_graphite_pushes_total{outcome="failed"} 4.0'
    while failed not in process.manage("/metrics")[1]:
        pass
    carbon.start()
    carbon.wait_for(HELLO, 1)
    process.event("lmservice.graphite_recovered")
    events = [each["event"] for each in process.logs if "graphite" in each["event"]]
    assert events == ["lmservice.graphite_failed", "lmservice.graphite_recovered"]


def test_a_carbon_that_goes_and_comes_back_is_pushed_to_again(carbon: Carbon, pushing: Pushing) -> None:
    process = pushing(carbon.start().url, GRAPHITE_INTERVAL="0.2")
    carbon.wait_for(tagged("lmservice_state", state="ready"), 1)
    carbon.stop()
    warning = process.event("lmservice.graphite_failed")
    assert warning["level"] == "warning"
    assert "refused" in warning["error"]
    for _ in range(5):
        assert get(process) == b"hello"
    carbon.start()
    carbon.wait_for(HELLO, 5)
    process.event("lmservice.graphite_recovered")
    assert process.stop()["status"] == "stopped"
    assert process.wait() == 0


@pytest.mark.anyio
async def test_a_service_in_a_test_pushes_as_well(carbon: Carbon) -> None:
    from graphite_program import service  # noqa: PLC0415 - after the fixture, which may skip

    async with running(service, graphite_url=carbon.start().url, graphite_interval=86_400, instance="one"):
        pass
    carbon.wait_for(tagged("lmservice_state", state="draining"), 1)
