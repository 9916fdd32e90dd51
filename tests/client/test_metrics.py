import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from flaky import HANG, RESET, Answer, Flaky
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from lmservice import Client, ClientPolicy
from lmservice.client.hosts import Hosts

pytestmark = pytest.mark.anyio
MakeClient = Callable[..., Client]
COUNT = "http_client_request_duration_seconds_count"


async def test_each_attempt_is_observed_with_the_conventions_labels(
    server: Flaky, client_of: MakeClient, registry: CollectorRegistry
) -> None:
    server.then(Answer(503, delay=0.02), RESET, 200, HANG, 404, 200)
    async with client_of(timeout=0.3, attempts=3) as client:
        await client.get("/a?b=c")
        with pytest.raises(httpx.TimeoutException):
            await client.post("/")
        await client.get("/")
        await client.request("BREW", "/")
    (family,) = [each for each in registry.collect() if each.name == "http_client_request_duration_seconds"]
    assert family.type == "histogram"
    common = {"server_address": "127.0.0.1", "server_port": str(server.port)}
    found = [each.labels for each in family.samples if each.name == COUNT and each.value == 1]
    expected = [
        ("GET", "503", "503"),
        ("GET", "", ("ReadError", "RemoteProtocolError")),
        ("GET", "200", ""),
        ("POST", "", "timeout"),
        ("GET", "404", "404"),
        ("_OTHER", "200", ""),
    ]
    assert len(found) == len(expected)
    for labels, (method, status, error) in zip(found, expected, strict=True):
        assert labels.pop("error_type") in (error if isinstance(error, tuple) else (error,))
        assert labels == {**common, "http_request_method": method, "http_response_status_code": status}
    (slow,) = [each.value for each in family.samples if each.name.endswith("_sum") and "503" in each.labels.values()]
    assert 0.02 <= slow < 0.3


async def test_counters_are_there_before_anything_goes_wrong(client_of: MakeClient, registry: Any) -> None:
    async with client_of() as client:
        await client.get("/")
    text = generate_latest(registry).decode()
    assert "lmservice_client_retries_total{" in text
    assert "lmservice_client_retry_budget_exhausted_total{" in text
    assert text.count("lmservice_client_breaker_state{") == 3


async def test_clients_of_one_registry_share_its_families(server: Flaky, registry: CollectorRegistry) -> None:
    server.always(503)
    for name in ("one", "other", None):
        async with Client(server.url, name=name, registry=registry, policy=ClientPolicy(attempts=2)) as client:
            await client.get("/")
    retries = {
        sample.labels["client"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "lmservice_client_retries_total"
    }
    assert retries == {"one": 1, "other": 1, server.host: 1}


async def test_without_a_registry_they_are_in_prometheus_clients_own(server: Flaky) -> None:
    async with Client(server.url) as client:
        await client.get("/")
    labels = {"server_port": str(server.port), "server_address": "127.0.0.1", "http_request_method": "GET"}
    assert REGISTRY.get_sample_value(COUNT, {**labels, "http_response_status_code": "200", "error_type": ""}) == 1


async def test_hosts_past_200_are_folded_with_one_warning_that_names_the_label(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(503))
    policy = ClientPolicy(attempts=1)
    client = Client("http://api.example", registry=registry, transport=transport, policy=policy)
    with caplog.at_level(logging.WARNING, "lmservice"):
        async with client:
            for number in range(300):
                await client.get(f"http://host{number}.example/")
            assert len(client._hosts._known) == 200
    counts = {
        sample.labels["server_address"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == COUNT
    }
    assert len(counts) == 201
    assert counts["_OTHER"] == 100
    (warning,) = caplog.records
    assert "server_address" in warning.getMessage()


def test_the_hosts_called_last_are_the_ones_kept(registry: CollectorRegistry) -> None:
    hosts = Hosts("test", ClientPolicy(), registry, 500)
    first = hosts.of(httpx.URL("http://first.example/a"))
    for number in range(500):
        hosts.of(httpx.URL(f"http://host{number}.example/"))
        assert hosts.of(httpx.URL("http://first.example/b")) is first
    assert hosts.of(httpx.URL("https://first.example/")) is not first


async def test_methods_without_end_are_not_kept(client_of: MakeClient, server: Flaky) -> None:
    async with client_of() as client:
        for number in range(50):
            await client.request(f"ODD{number}", "/")
        host = client._hosts.of(httpx.URL(server.url))
    assert not [key for key in host._observers if key[0].startswith("ODD")]
