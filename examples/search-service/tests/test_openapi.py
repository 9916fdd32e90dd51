"""The description of the API, and the service held to it by schemathesis, over real sockets."""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from search_service.application import OPERATIONS
from search_service.openapi import VERSION, document

pytestmark = pytest.mark.anyio

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
HARNESS = CONFIGURATION.with_name("harness")
EXAMPLES = "40"
PATIENCE = 110


async def described(client: httpx.AsyncClient) -> dict[str, Any]:
    response = await client.get("/openapi.json")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    found: dict[str, Any] = response.json()
    return found


async def test_every_search_is_described_with_all_its_parameters(client: httpx.AsyncClient) -> None:
    found = await described(client)
    assert found["openapi"] == VERSION
    assert list(found["paths"]) == [operation.path for operation in OPERATIONS]
    parameters = found["paths"]["/flights"]["get"]["parameters"]
    required = [parameter["name"] for parameter in parameters if parameter["required"]]
    assert required == ["origin", "destination", "date"]
    assert all(parameter["description"] and "null" not in str(parameter["schema"]) for parameter in parameters)


async def test_what_is_described_is_what_the_parameters_say_when_they_refuse(client: httpx.AsyncClient) -> None:
    names = [each["name"] for each in (await described(client))["paths"]["/flights"]["get"]["parameters"]]
    refused = (await client.get("/flights", params={"x": ""})).json()["errors"]
    assert refused[0]["allowed"] == ", ".join(names)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.path)
async def test_every_example_finds_something(client: httpx.AsyncClient, operation: Any) -> None:
    response = await client.get(operation.link)
    assert response.status_code == 200
    operation.answer.validate_json(response.content)
    assert any(response.json().values())


def test_every_reference_in_the_description_leads_somewhere() -> None:
    made = document(OPERATIONS, "Search", "1", "about")
    references = set(re.findall(r"'#/components/schemas/(\w+)'", str(made)))
    assert references == references & set(made["components"]["schemas"])
    assert len(references) > 5


async def test_the_reference_names_everything_and_loads_nothing(client: httpx.AsyncClient) -> None:
    response = await client.get("/docs")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    found = await described(client)
    for name in (*found["paths"], *found["components"]["schemas"]):
        assert f'id="{name}"' in response.text
    for path in found["paths"].values():
        assert all(f"<code>{parameter['name']}</code>" in response.text for parameter in path["get"]["parameters"])
    targets = re.findall(r'(?:href|src)="([^"]*)"', response.text)
    assert targets
    assert all(re.match(r"#|/(?!/)", target) for target in targets)
    assert "<script" not in response.text
    assert {target for target in targets if target.startswith("#")} <= {
        f"#{name}" for name in re.findall(r'id="([^"]*)"', response.text)
    }


@pytest.mark.parametrize(("mode", "hooks"), [("all", {}), ("positive", {"SCHEMATHESIS_HOOKS": "places"})])
async def test_schemathesis_finds_no_fault(
    client: httpx.AsyncClient, mode: str, hooks: dict[str, str], tmp_path: Path
) -> None:
    words = ["--config-file", str(CONFIGURATION), "run", f"{client.base_url}/openapi.json", "--mode", mode]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", *words, "--max-examples", EXAMPLES, "--no-color"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HARNESS), **hooks},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, said.decode()
    assert f"Tested: {len(OPERATIONS)}" in said.decode()
    assert "mostly rejected" not in said.decode() or not hooks
