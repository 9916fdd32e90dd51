"""Services with a consumer loop, and services without a port, in processes of their own and in `lmservice.testing`."""

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from command import lmservice
from drained_instance import DELAY, SETTINGS
from processes import ServiceProcess, free_port
from strict_client import Connection

from lmservice import Service
from lmservice.testing import running

PROGRAM = """
import asyncio
import itertools
import time

from starlette.responses import PlainTextResponse
from starlette.routing import Route

from lmservice import Service


async def answer(request):
    return PlainTextResponse("answer")


def note(what, number):
    print(what, number, time.monotonic(), flush=True)


async def work(number):
    note("began", number)
    await asyncio.sleep(SECONDS)
    note("ended", number)


service = Service("orders"PARTS)


@service.startup_job
async def held():
    yield
    note("cleaned", 0)


@service.consumer_loop(concurrency=4)
async def jobs(state, intake):
    numbers = itertools.count()
    while await intake.room():
        for _ in range(intake.free):
            intake.take(work(next(numbers)))
    note("closed", 0)
"""
ROUTES = ', routes=[Route("/", answer)]'
Run = Callable[..., ServiceProcess]


@pytest.fixture
def run() -> Iterator[Run]:
    with ExitStack() as stack:

        def started(seconds: float, parts: str = "", **settings: str) -> ServiceProcess:
            program = PROGRAM.replace("SECONDS", str(seconds)).replace("PARTS", parts)
            process = ServiceProcess(program, settings={**SETTINGS, **settings})
            return stack.enter_context(process).wait_ready()

        yield started


def noted(process: ServiceProcess, what: str) -> dict[int, float]:
    """When each number was noted under a word."""
    lines = (line.split() for line in list(process.output) if line.startswith(f"{what} "))
    return {int(number): float(moment) for _, number, moment in lines}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_without_a_port_stops_without_a_delay_and_handles_what_it_has_in_hand(run: Run, workers: str) -> None:
    process = run(0.5, LM_WORKERS=workers)
    assert "url" not in process.event("lmservice.listening")
    time.sleep(1)
    stopped = time.monotonic()
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    assert time.monotonic() - stopped < 0.5 + DELAY
    report = process.event("lmservice.stopped")
    assert report["phases"]["drain_delay"] < 0.1
    assert report["messages"] == {"handled": 4 * int(workers), "given_back": 0, "cut_off": 0}
    if workers == "1":
        assert noted(process, "began").keys() == noted(process, "ended").keys()
        assert max(noted(process, "ended").values()) <= noted(process, "closed")[0] <= noted(process, "cleaned")[0]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_hook_is_missed_where_nobody_has_to_learn_that_the_service_leaves(run: Run, workers: str) -> None:
    process = run(0.1, KUBERNETES_SERVICE_HOST="10.0.0.1", LM_WORKERS=workers)
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    assert "lmservice.no_pre_stop" not in {event["event"] for event in process.logs}


def test_a_service_without_a_port_leaves_its_port_to_others() -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = str(taken.getsockname()[1])
        program = "from lmservice import Service\nservice = Service('none')\n"
        with ServiceProcess(program, settings={"LM_PORT": port}) as process:
            process.wait_ready()
            assert process.stop()["exit_code"] == 0


def test_nothing_is_fetched_from_the_first_moment_though_requests_are_served_through_the_delay(run: Run) -> None:
    process = run(0.3, ROUTES)
    time.sleep(0.5)
    process.signal(signal.SIGTERM)
    process.wait_draining()
    began = len(noted(process, "began"))
    time.sleep(DELAY * 0.8)
    with Connection(process.port) as connection:
        assert connection.request("/").status == 200
    assert process.wait() == 0
    assert len(noted(process, "began")) == began
    assert process.event("lmservice.stopped")["requests"]["served"] == 1


def test_what_is_in_hand_has_the_drain_s_time_from_the_first_moment_and_is_then_cut_off(run: Run) -> None:
    process = run(60, ROUTES, LM_DRAIN_TIMEOUT="1", LM_DRAIN_DELAY="3", LM_DRAIN_DELAY_MAX="3", LM_IDLE_GRACE="1")
    time.sleep(0.3)
    stopped = time.monotonic()
    process.signal(signal.SIGTERM)
    assert process.event("lmservice.consumer_cut_off")["consumer"] == "jobs"
    assert 1 <= time.monotonic() - stopped < 2.5
    assert process.wait() == 70
    report = process.event("lmservice.stopped")
    assert report["messages"] == {"handled": 0, "given_back": 0, "cut_off": 4}
    assert report["problems"] == ["4 messages of consumer 'jobs' were cut off by LM_DRAIN_TIMEOUT, 1 s"]


def test_a_second_sigint_cuts_off_what_is_in_hand_at_once(run: Run) -> None:
    process = run(60)
    time.sleep(0.3)
    process.signal(signal.SIGINT)
    process.wait_draining()
    again = time.monotonic()
    process.signal(signal.SIGINT)
    assert process.wait() == 130
    assert time.monotonic() - again < 3


AWAY = """
from lmservice import Service

service = Service("orders"PARTS)


@service.consumer_loop(concurrency=1CRITICAL)
async def jobs(state, intake):
    with open("broker"):
        while await intake.room():
            await __import__("asyncio").sleep(0.05)
"""


@pytest.mark.parametrize(
    ("parts", "critical", "status"),
    [("", "", 503), ("", ", critical=False", 200), (", routes=[]", "", 200), (", routes=[]", ", critical=True", 503)],
)
def test_a_broker_that_is_away_makes_a_service_unready_that_takes_no_requests_and_its_return_is_noticed(
    parts: str, critical: str, status: int, tmp_path: Any
) -> None:
    program = AWAY.replace("PARTS", parts).replace("CRITICAL", critical)
    with ServiceProcess(program, folder=tmp_path) as process:
        process.event("lmservice.health_check_down")
        assert process.probe("/readyz") == status
        assert process.probe("/livez") == 200
        check = process.manage("/readyz")[1]["checks"]["consumer:jobs"]
        assert (check["status"], check["error"]) == ("down", "FileNotFoundError")
        (tmp_path / "broker").touch()
        process.event("lmservice.health_check_up")
        process.wait_ready()
        assert process.stop()["exit_code"] == 0


def test_verify_drain_says_that_there_is_nothing_to_verify(tmp_path: Any) -> None:
    (tmp_path / "hello.py").write_text("from lmservice import Service\nservice = Service('none')\n")
    ended = lmservice("verify-drain", "hello:service", folder=tmp_path)
    assert (ended.code, ended.problems) == (2, ["service 'none' takes no requests that could be lost"])


@pytest.mark.anyio
async def test_a_service_without_a_port_runs_inside_a_test() -> None:
    service = Service("orders")
    handled = []

    @service.consumer_loop(concurrency=1)
    async def jobs(state: Any, intake: Any) -> None:
        async def work() -> None:
            handled.append(state.settings.environment)

        while await intake.room():
            intake.take(work())
            await asyncio.sleep(0.01)

    async with running(service, port=free_port()) as tested:
        assert tested.url == ""
        while len(handled) < 3:  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(0.01)
        report = await tested.stop()
    assert report["exit_code"] == 0
    assert set(handled) == {"dev"}
