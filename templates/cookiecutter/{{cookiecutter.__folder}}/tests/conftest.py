"""The service as a client sees it: on real sockets, in an environment without settings."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
{%- if cookiecutter.client %}
from typing import Any
{%- endif %}

import httpx
import pytest
{%- if cookiecutter.client %}
from lmservice import Service
{%- endif %}
from lmservice.testing import Running, running
{%- if cookiecutter.client %}
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
{%- endif %}

from {{ cookiecutter.__package }} import service


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the settings of whoever runs it."""
    for name in [name for name in os.environ if name.startswith("LM_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
{%- if cookiecutter.database == "sqlite" %}


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/test.db"
{%- elif cookiecutter.database == "postgresql" %}


@pytest.fixture
def database_url() -> str:
    """A database for tests, whose tables may be changed."""
    url = os.environ.get("TEST_DATABASE_URL")
    if not url:
        pytest.skip("set TEST_DATABASE_URL to a PostgreSQL database for tests; `make database` starts one")
    return url
{%- endif %}
{%- if cookiecutter.client %}


@pytest.fixture
async def supplier_url() -> AsyncIterator[str]:
    """A supplier that has apples alone, and breaks at pears."""

    async def price(request: Request) -> JSONResponse:
        answers: dict[str, tuple[dict[str, Any], int]] = {
            "apple": ({"price": 1.5}, 200),
            "pear": ({"error": "out of order"}, 500),
        }
        content, status = answers.get(request.path_params["item"], ({"error": "unknown"}, 404))
        return JSONResponse(content, status)

    async with running(Service("supplier", routes=[Route("/prices/{item}", price)])) as supplier:
        yield supplier.url
{%- endif %}


@pytest.fixture
async def serving(
{%- if cookiecutter.database != "none" and cookiecutter.client %}
    database_url: str,
    supplier_url: str,
{%- elif cookiecutter.database != "none" %}database_url: str
{%- elif cookiecutter.client %}supplier_url: str
{%- endif %}
{%- if cookiecutter.database != "none" and cookiecutter.client %}
{% endif -%}
) -> AsyncIterator[Running]:
    """The service, ready."""
    async with running(service{% if cookiecutter.database != "none" %}, database_url=database_url{% endif %}{% if cookiecutter.client %}, supplier_url=supplier_url{% endif %}) as serving:
        yield serving


@pytest.fixture
async def client(serving: Running) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service."""
    async with httpx.AsyncClient(base_url=serving.url, trust_env=False) as client:
        yield client
