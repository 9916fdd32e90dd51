import httpx
import pytest

pytestmark = pytest.mark.anyio


async def test_a_price_is_the_suppliers(client: httpx.AsyncClient) -> None:
    answer = await client.get("/prices/apple")
    assert (answer.status_code, answer.json()) == (200, {"item": "apple", "price": 1.5})


async def test_what_the_supplier_does_not_have_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get("/prices/plum")).status_code == 404


async def test_a_supplier_out_of_order_costs_its_prices_alone(client: httpx.AsyncClient) -> None:
    answer = await client.get("/prices/pear")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert (await client.get("/greetings/Ada")).status_code == 200
