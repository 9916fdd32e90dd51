import httpx
import pytest
from lmservice.testing import Running

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("probe", ["livez", "startupz", "readyz"])
async def test_every_probe_is_up_once_it_serves(serving: Running, probe: str) -> None:
    async with httpx.AsyncClient(base_url=serving.management_url, trust_env=False) as management:
        answer = await management.get(f"/{probe}")
    assert answer.status_code == 200
    assert answer.json()["status"] == "up"


async def test_it_stops_cleanly_and_cuts_nothing_off(serving: Running, client: httpx.AsyncClient) -> None:
    await client.get("/greetings/Ada")
    await client.aclose()
    report = await serving.stop()
    assert report["status"] == "stopped"
    assert report["requests"]["cancelled"] == 0
