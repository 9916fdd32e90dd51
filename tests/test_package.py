"""The package as it is imported."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from processes import environment

import lmservice

ROOT = Path(__file__).parents[1]
UNWANTED = (
    "httpx", "opentelemetry", "fastapi", "websockets", "wsproto", "rich", "watchfiles", "click", "typer", "yaml",
    "sqlalchemy", "email_validator", "pytest", "h2",
)  # fmt: skip


def python(code: str, *, interpreter: Path | str = sys.executable) -> str:
    """What a fresh interpreter prints."""
    ran = subprocess.run(
        [interpreter, "-c", code], env=environment({}), capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("module", ["lmservice", "lmservice.server.process", "lmservice.cli"])
def test_importing_it_loads_nothing_that_a_service_may_not_need(module: str) -> None:
    code = f"import sys, {module}; from lmservice import Service, Settings; print(*sys.modules)"
    loaded = {name.partition(".")[0] for name in python(code).split()}
    assert "lmservice" in loaded
    assert not loaded & set(UNWANTED)


def test_importing_it_reads_no_settings_and_touches_no_logging() -> None:
    code = """
import logging, os, sys
before = logging.getLogger().handlers[:], sys.excepthook
os.environ.update(LM_PORT="no port", LM_SECRETS_DIR="/nonesuch")
from lmservice import Service, Settings
Service("quiet", routes=[])
assert before == (logging.getLogger().handlers, sys.excepthook)
"""
    python(code)


@pytest.mark.parametrize("name", ["Client", "ClientPolicy", "DeadlineExceeded", "CircuitOpen"])
def test_without_httpx_the_client_names_the_extra_that_brings_it(name: str) -> None:
    code = f"""
import importlib.abc, sys

class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "httpx":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Without())
import lmservice
service = lmservice.Service("without", routes=[])
for ask in (lambda: lmservice.{name}, lambda: service.client("http://api.example")):
    try:
        ask()
    except lmservice.LmserviceError as error:
        assert isinstance(error, ImportError)
        print(error)
"""
    assert python(code).count("lmservice[client]") == 2


def test_a_service_without_clients_and_retries_loads_neither_httpx_nor_tenacity_nor_prometheus_client() -> None:
    code = "import sys; from lmservice import Service, Settings; Service('plain', routes=[]); print(*sys.modules)"
    assert not {"httpx", "tenacity", "prometheus_client"} & set(python(code).split())


def test_what_it_offers_is_what_the_contract_names() -> None:
    assert {"Service", "Settings", "Client", "ClientPolicy", "retry"} <= set(lmservice.__all__)
    assert all(hasattr(lmservice, name) for name in lmservice.__all__)
    assert "version" not in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_modules_import_only_from_floors_below_them() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_services_names_are_typed_for_its_authors(tmp_path: Path) -> None:
    """A typed program passes mypy's strict mode, and its decorated functions keep their types."""
    program = tmp_path / "typed.py"
    program.write_text(
        """\
from collections.abc import AsyncIterator
from typing import Any

from lmservice import Client, ClientPolicy, Service, Settings, retry
from lmservice.testing import running

service = Service("typed", routes=[], settings=Settings)


@service.startup_job
async def plain() -> int:
    return 1


@service.startup_job(after=["plain"], timeout=10, attempts=3)
async def generator(state: Any) -> AsyncIterator[int]:
    yield state.plain


@service.health_check(critical=True)
async def check(state: Any) -> bool:
    return bool(state.plain)


@service.periodic_job(every=60, name="refreshed")
async def refresh(state: Any) -> int:
    return int(state.plain)


service.periodic_job(name="not typed without every=")  # type: ignore[call-overload]
client: Client = service.client("http://api.example", policy=ClientPolicy(timeout=1))


@retry(on=(ConnectionError, TimeoutError), attempts=3)
async def fetch(path: str) -> str:
    return (await client.get(path, params={"a": "1"})).text


@retry(on=lambda error: "again" in str(error))
def compute(number: int) -> int:
    return number


async def use() -> str:
    number: int = await plain() + compute(1)
    text: str = await fetch("/")
    async with client.stream("GET", text) as response:
        number += response.status_code
    async for attempt in retry(on=OSError):
        with attempt:
            number += attempt.number
    async with running(service, drain_timeout=1) as it:
        return f"{it.url} {number} {await refresh(None)} {await it.stop()}"
"""
    )
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file",
        os.devnull,
        "--cache-dir",
        str(ROOT / ".mypy_cache" / "typed"),
    ]
    ran = subprocess.run([*command, program], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
