import httpx
import pytest

pytestmark = pytest.mark.anyio


async def test_it_greets_by_name(client: httpx.AsyncClient) -> None:
    answer = await client.get("/greetings/Ada")
    assert (answer.status_code, answer.json()) == (200, {"greeting": "hello, Ada"})


async def test_what_is_not_there_is_a_problem_document(client: httpx.AsyncClient) -> None:
    answer = await client.get("/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
