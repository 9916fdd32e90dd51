import asyncio

import httpx
import pytest

from {{ cookiecutter.__package }} import store

pytestmark = pytest.mark.anyio


async def test_a_note_is_kept(client: httpx.AsyncClient) -> None:
    added = await client.post("/notes", json={"text": "buy milk"})
    assert added.status_code == 201
    found = await client.get(added.headers["location"])
    assert (found.status_code, found.json()) == (200, added.json())
    assert found.json()["text"] == "buy milk"


@pytest.mark.parametrize("body", ["", "[]", '{"text": ""}', '{"text": 1}', "not JSON"])
async def test_a_note_without_text_is_refused(client: httpx.AsyncClient, body: str) -> None:
    answer = await client.post("/notes", content=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_note_that_is_not_there_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get("/notes/1000000")).status_code == 404


async def test_instances_that_start_together_migrate_once(database_url: str) -> None:
    engines = [store.open_engine(database_url) for _ in range(3)]
    try:
        await asyncio.gather(*map(store.migrate, engines))
        await store.migrate(engines[0])
        assert await store.find(engines[0], await store.add(engines[1], "together")) == "together"
    finally:
        for engine in engines:
            await engine.dispose()
