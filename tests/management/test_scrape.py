"""A scrape that takes its time holds up nobody: neither the probes nor those who scrape as well."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.core import GaugeMetricFamily

pytestmark = pytest.mark.anyio
OPEN_METRICS = {"accept": "application/openmetrics-text; version=1.0.0"}


class Slow:
    """A collector that blocks its thread for a while, and counts how often it is asked, and how many at once."""

    def __init__(self, seconds: float) -> None:
        self.asked = self.at_once = self.most_at_once = 0
        self._seconds = seconds

    def collect(self) -> Any:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(self._seconds)
        self.at_once -= 1
        return [GaugeMetricFamily("slow", "Slow.", value=self.asked)]


@pytest.fixture
def scraped(flights: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a service whose registry has such a collector."""

    async def started(slow: Slow) -> Any:
        served = await flights()
        served.running._instance.metrics.registry.register(slow)
        return served

    return started


async def test_the_probes_answer_while_a_scrape_is_rendered(scraped: Callable[..., Any]) -> None:
    served = await scraped(Slow(1.0))
    await served.management.get("/livez")
    scrape = asyncio.create_task(served.management.get("/metrics"))
    took = []
    while not scrape.done():
        began = time.perf_counter()
        assert (await served.management.get("/livez")).status_code == 200
        took.append(time.perf_counter() - began)
        await asyncio.sleep(0.02)
    assert (await scrape).status_code == 200
    assert len(took) > 5
    assert sorted(took)[len(took) // 2] < 0.1


async def test_scrapes_at_once_share_one_rendering(scraped: Callable[..., Any]) -> None:
    slow = Slow(0.3)
    served = await scraped(slow)
    answers = await asyncio.gather(*[served.management.get("/metrics") for _ in range(5)])
    assert {each.status_code for each in answers} == {200}
    assert slow.asked == 1
    assert "slow 2.0" in (await served.management.get("/metrics")).text


async def test_renderings_of_different_kinds_are_made_one_after_another(scraped: Callable[..., Any]) -> None:
    slow = Slow(0.2)
    served = await scraped(slow)
    get = served.management.get
    one, other = await asyncio.gather(get("/metrics"), get("/metrics", headers=OPEN_METRICS))
    assert other.headers["content-type"] != one.headers["content-type"]
    assert (slow.asked, slow.most_at_once) == (2, 1)


async def test_a_scraper_that_leaves_spoils_it_for_nobody(scraped: Callable[..., Any]) -> None:
    served = await scraped(Slow(0.4))
    leaving = asyncio.create_task(served.management.get("/metrics"))
    await asyncio.sleep(0.1)
    staying = asyncio.create_task(served.management.get("/metrics"))
    await asyncio.sleep(0.1)
    leaving.cancel()
    assert (await staying).status_code == 200


async def test_a_collector_that_fails_is_counted_and_told_once_and_the_rest_is_served(
    scraped: Callable[..., Any], logged: Any
) -> None:
    slow = Slow(0)
    served = await scraped(slow)
    slow.collect = lambda: 1 / 0  # type: ignore[method-assign]
    for _ in range(3):
        answer = await served.management.get("/metrics")
        assert (answer.status_code, "lmservice_ready 1.0" in answer.text) == (200, True)
    assert 'lmservice_collector_errors_total{family="Slow"}' in answer.text
    assert [line["family"] for line in logged("lmservice.collector_failed")] == ["Slow"]
    del slow.collect
    assert (await served.management.get("/metrics")).status_code == 200


async def test_scrapes_share_a_rendering_by_what_it_gives_and_not_by_the_words_of_accept(
    scraped: Callable[..., Any],
) -> None:
    slow = Slow(0.4)
    served = await scraped(slow)
    accepts = ["", "text/html", "*/*", "text/plain;version=0.0.4", "text/plain"]
    answers = await asyncio.gather(*[served.management.get("/metrics", headers={"accept": each}) for each in accepts])
    assert {answer.status_code for answer in answers} == {200}
    assert slow.asked == 1
