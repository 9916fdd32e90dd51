"""`GET /profile`: where the event loop's thread spends its time."""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from processes import ServiceProcess
from strict_client import Connection, request_bytes

from lmservice.runtime import profiling

pytestmark = pytest.mark.anyio
PROGRAM = """\
import time
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from lmservice import Service

def ponder(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass

async def think(request):
    ponder(float(request.path_params["seconds"]))
    return PlainTextResponse("thought")

service = Service("thinker", routes=[Route("/think/{seconds}", think)])
"""


@pytest.fixture
def thinker(start_process: Callable[..., ServiceProcess]) -> ServiceProcess:
    return start_process(PROGRAM).wait_ready()


def profiled_while_thinking(service: ServiceProcess, query: str) -> tuple[int, Any]:
    """The answer of `/profile`, while a handler computes."""
    with Connection(service.management_port) as profile, Connection(service.port) as client:
        profile.send(request_bytes(f"/profile?{query}"))
        time.sleep(0.3)
        client.send(request_bytes("/think/0.5"))
        answer = profile.receive()
        assert client.receive().status == 200
    return answer.status, answer.body.decode()


def test_it_names_what_the_event_loop_spends_its_time_on(thinker: ServiceProcess) -> None:
    status, text = profiled_while_thinking(thinker, "seconds=1.5")
    assert status == 200
    assert "ponder" in text
    assert "think" in text


def test_it_comes_as_a_page_and_for_speedscope(thinker: ServiceProcess) -> None:
    status, page = profiled_while_thinking(thinker, "seconds=1.5&format=html")
    assert status == 200
    assert page.lstrip().startswith("<!DOCTYPE html>")
    assert "ponder" in page
    status, flames = profiled_while_thinking(thinker, "seconds=1.5&format=speedscope")
    assert status == 200
    assert "ponder" in {frame["name"] for frame in json.loads(flames)["shared"]["frames"]}


def test_what_blocks_the_loop_at_the_end_is_in_it_too(thinker: ServiceProcess) -> None:
    with Connection(thinker.management_port) as profile, Connection(thinker.port) as client:
        profile.send(request_bytes("/profile?seconds=0.5"))
        time.sleep(0.3)
        client.send(request_bytes("/think/2"))
        assert "ponder" in profile.receive().body.decode()
        assert client.receive().status == 200


async def test_one_is_taken_at_a_time(flights: Any) -> None:
    management = (await flights()).management
    first = asyncio.create_task(management.get("/profile?seconds=1"))
    await asyncio.sleep(0.2)
    second = await management.get("/profile?seconds=1")
    assert second.status_code == 409
    assert (await first).status_code == 200
    assert (await management.get("/profile?seconds=0.1")).status_code == 200


@pytest.mark.parametrize(
    "query",
    ["seconds=0", "seconds=-1", "seconds=61", "seconds=nan", "seconds=x", "format=pdf", "worker=x", "second=1"],
)
async def test_what_cannot_be_had_is_refused_with_the_limit(shared: Any, query: str) -> None:
    response = await shared.management.get(f"/profile?{query}")
    assert response.status_code == 422
    assert query.partition("=")[0] in response.json()["detail"]


async def test_it_is_for_allowed_peers_only(flights: Any) -> None:
    management = (await flights(management_allow=("192.0.2.0/24",))).management
    assert (await management.get("/profile?seconds=0.1")).status_code == 403


def test_while_the_loop_does_not_turn_it_says_so(start_process: Callable[..., ServiceProcess]) -> None:
    service = start_process(
        "import lmservice.runtime.profiling\nlmservice.runtime.profiling.PATIENCE = 0.3\n" + PROGRAM
    ).wait_ready()
    with Connection(service.management_port) as profile, Connection(service.port) as client:
        client.send(request_bytes("/think/3"))
        time.sleep(0.3)
        answer = profile.request("/profile?seconds=0.1")
        assert answer.status == 503
        assert b"/tasks" in answer.body
        assert client.receive().status == 200


def test_without_the_extra_it_names_it(start_process: Callable[..., ServiceProcess]) -> None:
    without = 'import sys\nsys.modules["pyinstrument"] = None\n'
    service = start_process(without + PROGRAM).wait_ready()
    status, problem = service.manage("/profile?seconds=0.1")
    assert status == 501
    assert "lmservice[profile]" in problem["detail"]
    assert ("C compiler" in problem["detail"]) is (sys.version_info >= profiling.WITHOUT_WHEEL)
