"""`/stop`, from inside one process; how it drains is shown in `acceptance`."""

import asyncio
from typing import Any

import pytest

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_answer_comes_when_drained_and_has_the_contracts_shape(flights: Any, method: str) -> None:
    served = await flights()
    await served.client.aclose()
    response = await served.management.request(method, "/stop")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    report = response.json()
    assert report["status"] == "stopped"
    assert set(report["phases"]) == {"drain_delay", "drain", "cleanup"}
    assert report["requests"] == {"served": 0, "cancelled": 0}
    numbers = [report["seconds"], *report["phases"].values()]
    assert all(isinstance(number, float | int) and 0 <= number < 5 for number in numbers)
    assert sum(report["phases"].values()) <= report["seconds"] + 0.01


async def test_any_number_of_calls_get_the_same_answer(flights: Any) -> None:
    served = await flights(environment="qa", drain_delay=0.2, drain_quiet=0)
    await served.client.aclose()
    calls = [served.management.request(method, "/stop") for method in ("GET", "POST", "POST")]
    answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} == {200}
    assert [answer.json() for answer in answers] == [await served.running.stop()] * 3


async def test_the_probes_tell_of_the_drain_until_the_end(flights: Any) -> None:
    served = await flights(environment="qa", drain_delay=0.3, drain_quiet=0)
    stop = asyncio.create_task(served.management.post("/stop"))
    while (ready := await served.management.get("/readyz")).status_code == 200:
        pass
    assert (ready.status_code, ready.json()["status"], ready.json()["state"]) == (503, "down", "draining")
    live, started = await served.management.get("/livez"), await served.management.get("/startupz")
    assert (live.status_code, started.status_code) == (200, 200)
    assert (await served.client.get("/home")).status_code == 200
    await served.client.aclose()
    assert (await stop).json()["requests"]["served"] == 1


async def test_whoever_hangs_up_does_not_undo_the_stop(flights: Any) -> None:
    served = await flights(environment="qa", drain_delay=0.3, drain_quiet=0)
    await served.client.aclose()
    stop = asyncio.create_task(served.management.post("/stop"))
    while (await served.management.get("/readyz")).status_code == 200:
        pass
    stop.cancel()
    assert (await served.management.post("/stop")).json()["status"] == "stopped"
