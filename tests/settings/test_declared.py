"""What a service declares as a function of its settings, as the start and `lmservice check` read it."""

from typing import Any

import httpx
import pytest
from pydantic import AnyHttpUrl, SecretStr

from lmservice import ClientPolicy, Service, Settings
from lmservice.errors import ServiceDefinitionError, UsageError
from lmservice.testing import running

pytestmark = pytest.mark.anyio
TOKEN = "hunter2hunter2hunter2"


class ShopSettings(Settings):
    refresh_every: float = 60
    supplier_url: AnyHttpUrl = AnyHttpUrl("http://localhost:9000/v1")
    token: SecretStr = SecretStr(TOKEN)


async def refresh() -> None:
    """Nothing."""


def service_of(every: Any = 60, url: Any = "http://localhost:9000") -> Service[ShopSettings]:
    service = Service("shop", routes=[], settings=ShopSettings)
    service.periodic_job(every=every)(refresh)
    service.client(url)
    return service


async def test_a_periodic_job_runs_as_often_as_the_settings_say() -> None:
    service = Service("shop", routes=[], settings=ShopSettings)
    service.periodic_job(every=lambda settings: settings.refresh_every)(refresh)
    async with running(service, refresh_every=7) as shop, httpx.AsyncClient(base_url=shop.management_url) as management:
        metrics = (await management.get("/metrics")).text
    assert 'lmservice_periodic_job_interval_seconds{job="refresh"} 7.0' in metrics


async def test_a_client_calls_whom_the_settings_name_and_is_named_after_that_host() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200)

    service = Service("shop", routes=[], settings=ShopSettings)
    transport = httpx.MockTransport(answer)
    client = service.client(
        lambda settings: settings.supplier_url, policy=ClientPolicy(attempts=1), transport=transport
    )
    for url in ("http://one.example/v1", "http://other.example:8080"):  # another start reads them anew
        async with running(service, supplier_url=url):
            await client.get("/prices/apple")
            assert repr(client) == f"<Client '{httpx.URL(url).netloc.decode()}' of {httpx.URL(url).netloc.decode()}>"
    assert [str(request.url) for request in asked] == [
        "http://one.example/v1/prices/apple",
        "http://other.example:8080/prices/apple",
    ]


async def test_a_client_of_the_settings_is_not_open_before_the_service_runs() -> None:
    client = service_of(url=lambda settings: settings.supplier_url).clients[0]
    with pytest.raises(UsageError, match=r"service\.client"):
        await client.__aenter__()


@pytest.mark.parametrize(
    ("every", "named"),
    [
        (lambda settings: settings.refresh_evry, "no attribute 'refresh_evry'"),
        (lambda _settings: 1 / 0, "ZeroDivisionError"),
        (lambda _settings: None, "None"),
        (lambda _settings: 0, "is 0: it must be a number of seconds, more than 0"),
        (lambda _settings: "60", "'60': it must be a number of seconds"),
        (lambda _settings: float("nan"), "nan"),
        (lambda: 60, "TypeError"),
    ],
    ids=["attribute", "raises", "none", "zero", "text", "nan", "arity"],
)
def test_an_interval_that_cannot_be_read_is_refused_by_the_job_and_the_reason(every: Any, named: str) -> None:
    with pytest.raises(ServiceDefinitionError) as raised:
        service_of(every=every).check(ShopSettings())
    assert "every= of periodic job 'refresh'" in str(raised.value)
    assert named in str(raised.value)


async def refresh_every(settings: ShopSettings) -> float:
    return settings.refresh_every


def test_a_coroutine_function_of_the_settings_is_refused() -> None:
    with pytest.raises(ServiceDefinitionError, match="must be a plain one"):
        service_of(every=refresh_every).check(ShopSettings())


@pytest.mark.parametrize(
    ("url", "named"),
    [
        (lambda settings: settings.supplier, "no attribute 'supplier'"),
        (lambda _settings: "localhost:9000", "'localhost:9000': it must be absolute"),
        (lambda _settings: "http://localhost:port", "must be absolute"),
        (lambda _settings: None, "None: it must be absolute"),
    ],
    ids=["attribute", "relative", "port", "none"],
)
def test_a_base_url_that_cannot_be_read_is_refused(url: Any, named: str) -> None:
    with pytest.raises(ServiceDefinitionError) as raised:
        service_of(url=url).check(ShopSettings())
    assert "base_url of a client" in str(raised.value)
    assert named in str(raised.value)


def test_everything_that_cannot_be_read_is_told_at_once() -> None:
    with pytest.raises(ServiceDefinitionError) as raised:
        service_of(every=lambda settings: settings.a, url=lambda settings: settings.b).check(ShopSettings())
    assert len(str(raised.value).splitlines()) == 2


@pytest.mark.parametrize(
    "url",
    [
        lambda settings: settings.token,
        lambda settings: settings.token.get_secret_value(),
        lambda settings: httpx.URL(f"http://me:{settings.token.get_secret_value()}@host:no"),
        lambda settings: {}[settings.token.get_secret_value()],
        lambda settings: int(settings.token.get_secret_value()),
        lambda settings: f"ftp://me:{settings.token.get_secret_value()}@host",
    ],
)
def test_no_secret_is_told(url: Any) -> None:
    with pytest.raises(ServiceDefinitionError) as raised:
        service_of(url=url).check(ShopSettings())
    assert TOKEN not in str(raised.value)


def test_values_that_are_given_as_they_are_are_refused_where_they_are_declared() -> None:
    with pytest.raises(ServiceDefinitionError, match="every="):
        service_of(every=0)
    service_of().check(ShopSettings())
