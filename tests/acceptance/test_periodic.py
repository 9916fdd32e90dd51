"""Periodic jobs that are under way when the stop comes, in processes of their own and in `lmservice.testing`."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from drained_instance import DELAY, SETTINGS, refuses
from processes import ServiceProcess
from strict_client import Connection

from lmservice import Service
from lmservice.testing import running

PROGRAM = """
import asyncio
import pathlib
import time

from starlette.responses import PlainTextResponse
from starlette.routing import Route

from lmservice import Service


async def answer(request):
    return PlainTextResponse("answer")


service = Service("periodic", routes=[Route("/", answer)])


def note(name):
    with pathlib.Path(name).open("a") as notes:
        notes.write(f"{time.monotonic()}\\n")


@service.startup_job
async def held():
    yield
    note("cleaned")


"""
COROUTINE = """
@service.periodic_job(every=0.05)
async def sweep():
    note("began")
    try:
        await asyncio.sleep(%s)
    except asyncio.CancelledError:
        note("cancelled")
        raise
    note("ended")
"""
PLAIN = """
@service.periodic_job(every=0.05)
def sweep():
    note("began")
    time.sleep(%s)
    note("ended")
"""
OFTEN = """
@service.periodic_job(every=0.01)
async def sweep():
    note("began")
"""
Run = Callable[..., ServiceProcess]
EITHER = pytest.mark.parametrize("job", [COROUTINE, PLAIN], ids=["coroutine", "thread"])


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with ExitStack() as stack:

        def started(job: str, **settings: str) -> ServiceProcess:
            process = ServiceProcess(PROGRAM + job, folder=tmp_path, settings={**SETTINGS, **settings})
            return stack.enter_context(process).wait_ready()

        yield started


@pytest.fixture
def noted(tmp_path: Path) -> Callable[[str], list[float]]:
    """The moments so far that a job noted under a name."""

    def moments(name: str) -> list[float]:
        path = tmp_path / name
        return [float(line) for line in path.read_text().splitlines()] if path.is_file() else []

    return moments


def wait_for(noted: Callable[[str], list[float]], name: str) -> None:
    end = time.monotonic() + 20
    while not noted(name):
        assert time.monotonic() < end, f"no job came to: {name}"
        time.sleep(0.005)


@EITHER
def test_a_run_over_the_stop_ends_by_itself_before_the_clean_up_and_the_exit_code_is_0(
    run: Run, noted: Callable[[str], list[float]], job: str
) -> None:
    process = run(job % (DELAY + 1.5))
    wait_for(noted, "began")
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    assert len(noted("began")) == len(noted("ended")) == 1
    assert noted("ended")[0] < noted("cleaned")[0] < noted("ended")[0] + 0.5
    assert "problems" not in process.event("lmservice.stopped")


@EITHER
def test_a_run_that_outlives_the_drain_is_cut_off_and_named_and_the_exit_code_is_70(
    run: Run, noted: Callable[[str], list[float]], job: str
) -> None:
    process = run(job % 30, LM_DRAIN_TIMEOUT="1")
    wait_for(noted, "began")
    stopped = time.monotonic()
    report = process.stop()
    assert process.wait() == 70
    assert DELAY + 1 <= time.monotonic() - stopped < DELAY + 1 + 5
    (problem,) = report["problems"]
    assert problem.startswith("periodic job 'sweep' was cut off by LM_DRAIN_TIMEOUT, 1 s")
    assert ("its thread" in problem) == (job is PLAIN)
    assert report["requests"] == {"served": 0, "cancelled": 0}
    assert noted("ended") == []
    assert len(noted("cancelled")) == (job is COROUTINE)
    assert noted("cleaned")[0] >= stopped + DELAY + 1
    assert process.event("lmservice.periodic_job_cut_off")["job"] == "sweep"


def test_a_second_sigint_cuts_off_a_run_at_once(run: Run, noted: Callable[[str], list[float]]) -> None:
    process = run(COROUTINE % 30, LM_DRAIN_TIMEOUT="20")
    wait_for(noted, "began")
    process.signal(signal.SIGINT)
    process.wait_draining()
    time.sleep(0.5)
    assert noted("cancelled") == []
    again = time.monotonic()
    process.signal(signal.SIGINT)
    assert process.wait() == 130
    assert noted("cancelled")[0] - again < 1.5
    assert "by a second SIGINT" in process.event("lmservice.stopped")["problems"][0]


def test_no_run_begins_after_the_stop_though_the_service_answers_through_the_delay(
    run: Run, noted: Callable[[str], list[float]]
) -> None:
    process = run(OFTEN)
    wait_for(noted, "began")
    time.sleep(0.3)
    process.signal(signal.SIGTERM)
    process.wait_draining()
    before = noted("began")
    assert len(before) > 5
    time.sleep(DELAY / 2)
    with Connection(process.port) as connection:
        assert connection.request("/").status == 200
    assert process.wait() == 0
    assert noted("began") == before


def test_no_run_begins_before_the_service_is_ready(run: Run, noted: Callable[[str], list[float]]) -> None:
    process = run(
        OFTEN + "\n@service.startup_job\nasync def slow():\n    await asyncio.sleep(0.5)\n    note('ready')\n"
    )
    wait_for(noted, "began")
    assert noted("began")[0] > noted("ready")[0]
    assert not refuses(process.port)


def test_a_service_whose_jobs_rest_is_stopped_without_a_wait(run: Run, noted: Callable[[str], list[float]]) -> None:
    process = run(OFTEN.replace("0.01", "1000"), LM_DRAIN_DELAY="0", LM_DRAIN_QUIET="0")
    assert process.stop()["phases"]["drain"] < 1
    assert process.wait() == 0
    assert noted("began") == []


@pytest.mark.parametrize("raised", ["raise SystemExit(5)", "raise asyncio.CancelledError", "raise OSError"])
def test_whatever_a_run_raises_the_service_goes_on(run: Run, raised: str) -> None:
    process = run(f"@service.periodic_job(every=0.05)\nasync def broken():\n    {raised}\n")
    process.event("lmservice.periodic_job_failed")
    process._until(lambda: process.manage("/livez")[1]["periodic_jobs"]["broken"]["failures"] > 2 or None, "three", 10)
    assert process.probe("/readyz") == 200
    assert process.stop()["exit_code"] == 0


IN_A_TEST = pytest.mark.anyio


async def until(told: Any) -> None:
    async with asyncio.timeout(10):
        while not told():  # noqa: ASYNC110 - it asks what sets no event
            await asyncio.sleep(0.01)


@IN_A_TEST
async def test_a_stop_in_a_test_waits_for_the_run_under_way_with_its_resources() -> None:
    service, order = Service("tested", routes=[]), list[str]()

    @service.startup_job
    async def database() -> AsyncIterator[str]:
        yield "open"
        order.append("closed")

    @service.periodic_job(every=0.01)
    async def refresh(state: Any) -> None:
        order.append("began")
        await asyncio.sleep(0.5)
        order.append(state.database)

    async with running(service) as each:
        await until(lambda: order)
        report = await each.stop()
    assert order == ["began", "open", "closed"]
    assert report["exit_code"] == 0
    assert 0.2 < report["phases"]["drain"] < 2


@IN_A_TEST
async def test_a_service_runs_its_jobs_again_when_it_is_run_again_in_one_process() -> None:
    service, runs = Service("tested", routes=[]), list[int]()
    service.periodic_job(every=0.01, name="refresh")(lambda: runs.append(1))
    for _ in range(2):
        runs.clear()
        async with running(service):
            await until(lambda: len(runs) > 1)
