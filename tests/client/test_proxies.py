"""Which proxy a call goes through: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, and the exceptions that NO_PROXY makes."""

import pytest
from flaky import Flaky
from prometheus_client import CollectorRegistry

from lmservice import Client, LmserviceError
from lmservice.client.proxies import NoProxy
from lmservice.testing import captured_logs

pytestmark = pytest.mark.anyio

CASES = [
    ("10.0.0.0/8", "http://10.1.2.3", True),
    ("10.0.0.0/8", "http://11.1.2.3", False),
    ("fd00::/8", "http://[fd12::1]:8080", True),
    ("fd00::/8", "http://[fe80::1]", False),
    ("fd00::/8", "http://10.0.0.1", False),
    ("::1", "http://[::1]", True),
    ("[::1]", "http://[::1]:99", True),
    ("[::1]:80", "http://[::1]", True),
    ("[::1]:80", "http://[::1]:81", False),
    ("example.com", "http://example.com", True),
    ("example.com", "http://www.example.com", True),
    ("example.com", "http://notexample.com", False),
    (".example.com", "http://example.com", False),
    (".example.com", "http://www.example.com", True),
    ("*.example.com", "http://www.example.com", True),
    ("EXAMPLE.com", "http://Example.COM.", True),
    ("example.com:8080", "http://example.com:8080", True),
    ("example.com:443", "https://example.com", True),
    ("example.com:8080", "http://example.com", False),
    ("https://example.com", "https://example.com", True),
    ("https://example.com", "http://example.com", False),
    ("*", "http://anything", True),
    ("", "http://anything", False),
    (" a , b ", "http://b", True),
]


@pytest.mark.parametrize(("variable", "url", "direct"), CASES)
async def test_no_proxy_names_hosts_addresses_and_networks(
    monkeypatch: pytest.MonkeyPatch, variable: str, url: str, *, direct: bool
) -> None:
    async with Flaky() as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", variable)
        parts = Client(url)._base_url
    assert NoProxy.read(variable).has(parts.scheme, parts.host, parts.port) is direct


async def test_calls_go_through_the_proxy_but_to_its_exceptions(
    monkeypatch: pytest.MonkeyPatch, server: Flaky, registry: CollectorRegistry
) -> None:
    async with Flaky() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "fd00::/8,127.0.0.0/8")
        async with Client("http://api.example", registry=registry) as client:
            await client.get("/far")
            await client.get(f"{server.url}/near")
        assert (proxy.paths, server.paths) == (["http://api.example/far"], ["/near"])


async def test_an_entry_that_cannot_be_read_is_told_by_name_and_the_client_opens(
    monkeypatch: pytest.MonkeyPatch, registry: CollectorRegistry
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "fd00::/999,.svc")
    with captured_logs() as events:
        async with Client("http://api.example", registry=registry):
            pass
    (event,) = [each for each in events if each["event"] == "lmservice.client_no_proxy"]
    assert (event["variable"], event["entry"]) == ("NO_PROXY", "fd00::/999")


@pytest.mark.parametrize("address", ["ftp://user:hunter2@proxy", "http://user:hunter2@[::1", "socks5://u:hunter2@p:1"])
async def test_a_proxy_that_cannot_be_used_is_named_by_its_variable_without_its_password(
    monkeypatch: pytest.MonkeyPatch, registry: CollectorRegistry, address: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    with pytest.raises(LmserviceError, match="HTTPS_PROXY") as raised:
        async with Client("http://api.example", registry=registry):
            pass
    assert "hunter2" not in str(raised.value)
