"""The description of the API, and the service held to it by schemathesis, over real sockets."""

import asyncio
import html
import os
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.anyio

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
HARNESS = CONFIGURATION.with_name("harness")
EXAMPLES = "40"
SEARCHES = ["/flights", "/hotels", "/trips", "/airports"]
PATIENCE = 110


async def described(client: httpx.AsyncClient) -> dict[str, Any]:
    response = await client.get("/openapi.json")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    found: dict[str, Any] = response.json()
    return found


async def test_every_search_is_described_with_all_its_parameters(client: httpx.AsyncClient) -> None:
    found = await described(client)
    assert list(found["paths"]) == SEARCHES
    parameters = found["paths"]["/flights"]["get"]["parameters"]
    required = [parameter["name"] for parameter in parameters if parameter["required"]]
    assert required == ["origin", "destination", "date"]
    assert all(parameter["description"] and "null" not in str(parameter["schema"]) for parameter in parameters)


async def test_what_is_described_is_what_the_parameters_say_when_they_refuse(client: httpx.AsyncClient) -> None:
    names = [each["name"] for each in (await described(client))["paths"]["/flights"]["get"]["parameters"]]
    refused = (await client.get("/flights", params={"x": ""})).json()["errors"]
    assert refused[0]["allowed"] == ", ".join(names)


async def test_the_reference_has_an_example_of_every_search_that_finds_something(client: httpx.AsyncClient) -> None:
    response = await client.get("/docs")
    assert response.status_code == 200
    examples = re.findall(r'href="\.(/[^"]*)"', response.text)
    assert [example.partition("?")[0] for example in examples] == SEARCHES
    for example in examples:
        answer = await client.get(html.unescape(example))
        assert answer.status_code == 200
        assert any(answer.json().values())


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
    assert f"Tested: {len(SEARCHES)}" in said.decode()
    assert "mostly rejected" not in said.decode() or not hooks
