"""Whatever one worker meets, the others, and who waits for them, go on."""

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from processes import ServiceProcess
from workers.conftest import wait_until

from lmservice.errors import ExitCode
from lmservice.lifecycle import State
from lmservice.workers.exchange import End
from lmservice.workers.replacement import Slot

Start = Callable[..., ServiceProcess]
pytestmark = pytest.mark.anyio


def test_a_worker_that_cannot_heed_one_message_hears_the_next(start_workers: Start) -> None:
    program = """
from lmservice import Service
from lmservice.server.instance import Instance


def broken(self):
    raise RuntimeError("no stacks today")


Instance.log_stacks = broken
service = Service("tested", routes=[])
"""
    service = start_workers(program).wait_ready()
    service.signal(signal.SIGUSR1)
    wait_until(lambda: sum("could not heed" in event["event"] for event in service.logs) == 2)
    report = service.stop()
    assert (report["status"], report["exit_code"]) == ("stopped", 0)
    assert service.wait() == 0


def test_a_collector_that_fails_once_does_not_end_the_counting(start_workers: Start) -> None:
    program = """
import os, time
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from lmservice import Service
from lmservice.workers import snapshot

taken, calls = snapshot.taken, []


def fails_at_first(*arguments, **options):
    calls.append(1)
    if len(calls) < 3:
        raise RuntimeError("no counts yet")
    return taken(*arguments, **options)


snapshot.taken = fails_at_first
service = Service("tested", routes=[Route("/", lambda request: PlainTextResponse("well"))])
"""
    service = start_workers(program).wait_ready()
    wait_until(lambda: "lmservice_build_info" in service.manage("/metrics")[1])
    assert sum("counted could not be told" in event["event"] for event in service.logs) == 2


def test_a_fault_that_ends_the_service_is_told_to_who_waits_for_the_stop(start_process: Start) -> None:
    for workers, place in (("1", "lmservice.server.closing.CleanUp.run"), ("2", "lmservice.workers.supervisor.flush")):
        module, _, name = place.rpartition(".")
        owner, _, inner = module.rpartition(".")
        program = f"""
import importlib
from lmservice import Service


async def breaks(*arguments, **options):
    raise RuntimeError("a fault of its own")


target = importlib.import_module({(owner if inner[0].isupper() else module)!r})
setattr(getattr(target, {inner!r}) if {inner[0].isupper()} else target, {name!r}, breaks)
service = Service("tested", routes=[])
"""
        service = start_process(program, settings={"LM_WORKERS": workers, "LM_ENVIRONMENT": "dev"}).wait_ready()
        report = service.stop()
        assert report["exit_code"] == ExitCode.UNCLEAN
        assert "a fault of its own" in report["problems"][0]
        assert service.wait() == ExitCode.UNCLEAN
        assert service.event("lmservice.broke_down")["level"] == "critical"


class Ended:
    """A worker that has ended at once, of a slot's tries."""

    state = State.READY
    number = pid = 1
    began = 0.0
    end: ClassVar[End] = {"exit_code": 1}

    async def live(self) -> None:
        await asyncio.sleep(0)


async def test_a_worker_that_cannot_be_started_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("lmservice.workers.replacement.LONGEST_PAUSE", 0.1)
    tries: list[Any] = []

    def start() -> Any:
        tries.append(None)
        if len(tries) in (2, 3):
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return Ended()

    slot = Slot(start(), start, lambda: len(tries) >= 4, lambda _worker: None)
    with caplog.at_level(logging.INFO, "lmservice.workers"):
        async with asyncio.timeout(10):
            await slot.keep()
    assert [record.message for record in caplog.records].count("lmservice.worker_not_started") == 2
    assert len(tries) == 4
