"""What all tests share: a clean environment, asyncio, and the log as it came out."""

import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
from processes import ServiceProcess
from prometheus_client import REGISTRY
from strict_client import AsyncConnection

from lmservice import Service
from lmservice.testing import Running, running

# However busy the machine is, and the same examples at each run; new ones by HYPOTHESIS_PROFILE=default.
hypothesis.settings.register_profile(
    "busy", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow], database=None
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "busy"))


signal.signal(signal.SIGHUP, signal.SIG_DFL)  # else tests run by nohup would start services that ignore it


@pytest.fixture(scope="module")
def anyio_backend() -> Any:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees settings, a cluster or a proxy of the machine it runs on."""
    for name in list(os.environ):
        if name.upper().startswith(("LM_", "KUBERNETES_")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _default_registry() -> Iterator[None]:
    """No test sees what another left in prometheus_client's default registry, which `/metrics` has as well."""
    before = set(REGISTRY._collector_to_names)
    yield
    for collector in set(REGISTRY._collector_to_names) - before:
        REGISTRY.unregister(collector)


@pytest.fixture
def logged(capfd: pytest.CaptureFixture[str]) -> Any:
    """The log events so far, those of one name where it is given; every line must be one JSON object."""
    seen: list[dict[str, Any]] = []

    def read(event: str | None = None) -> list[dict[str, Any]]:
        lines = capfd.readouterr().out.splitlines()
        seen.extend(json.loads(line) for line in lines)
        assert all(isinstance(each, dict) for each in seen)
        return [each for each in seen if event in (None, each["event"])]

    return read


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[Callable[..., ServiceProcess]]:
    """Starts services in processes of their own, which end with the test."""
    with ExitStack() as running:

        def started(program: str | Path, **options: Any) -> ServiceProcess:
            return running.enter_context(ServiceProcess(program, folder=tmp_path, **options))

        yield started


@dataclass
class Served:
    """A service that runs in the test's own process, and clients of its two listeners."""

    running: Running
    client: httpx.AsyncClient
    management: httpx.AsyncClient

    @property
    def port(self) -> int:
        """The service's port."""
        return httpx.URL(self.running.url).port or 0

    async def metrics(self) -> dict[str, float]:
        """Every sample by its name and labels, as the text has them."""
        lines = (await self.management.get("/metrics")).text.splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(number) for name, _, number in pairs}

    async def close(self) -> None:
        """Closes the clients, so that a stop need not wait for their idle connections."""
        await self.client.aclose()
        await self.management.aclose()


@asynccontextmanager
async def _serving() -> AsyncIterator[Any]:
    async with AsyncExitStack() as stack:

        async def started(service: Service, **settings: Any) -> Served:
            given = {"log_format": "json", "drain_timeout": 2, **settings}
            service_running = await stack.enter_async_context(running(service, **given))
            clients = [
                await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=20, verify=False))
                for url in (service_running.url, service_running.management_url)
            ]
            return Served(service_running, *clients)

        yield started


@pytest.fixture
async def serve() -> AsyncIterator[Any]:
    """Runs services, on JSON logs and free ports, until the test's end."""
    async with _serving() as started:
        yield started


@pytest.fixture
async def connect(serve: Any) -> AsyncIterator[Any]:  # noqa: ARG001 - it closes before the services stop
    """Opens connections that close before the services stop, which would wait for idle ones."""
    opened: list[AsyncConnection] = []

    async def connected(port: int) -> AsyncConnection:
        opened.append(await AsyncConnection.open(port))
        return opened[-1]

    yield connected
    for each in opened:
        each.close()


@pytest.fixture(scope="module")
async def serve_module() -> AsyncIterator[Any]:
    """Runs services until the end of the module's tests."""
    async with _serving() as started:
        yield started
