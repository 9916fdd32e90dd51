"""How `lmservice run` ends, wherever no drain is needed to show it; the drain's own cases are in `acceptance`."""

import signal
from collections.abc import Callable

import pytest
from command import PROGRAM
from processes import ServiceProcess
from strict_client import Connection, request_bytes

Start = Callable[..., ServiceProcess]
HANGING = (
    PROGRAM
    + """
import asyncio
@service.startup_job
async def hanging():
    await asyncio.sleep(600)
"""
)
STUCK = """
import asyncio
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from lmservice import Service
async def stuck(request):
    print("stuck", flush=True)
    await asyncio.sleep(600)
    return PlainTextResponse("")
service = Service("program", routes=[Route("/stuck", stuck)])
"""
CLEAN_UP = (
    PROGRAM
    + """
@service.startup_job
async def resource():
    yield 1
    %s
"""
)


def ask(process: ServiceProcess) -> Connection:
    """A connection with a request on it that never ends, and is under way."""
    connection = Connection(process.port)
    connection.send(request_bytes("/stuck"))
    wait_said(process, "stuck")
    return connection


def wait_said(process: ServiceProcess, line: str) -> None:
    """Returns once the program has printed that line."""
    process._until(lambda: line in process.output or None, line, 10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0(start_process: Start, number: signal.Signals) -> None:
    process = start_process(PROGRAM).wait_ready()
    process.signal(number)
    assert process.wait() == 0
    assert process.logs[-1]["event"] == "lmservice.stopped"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_starting_ends_it_with_0(start_process: Start, number: signal.Signals) -> None:
    process = start_process(HANGING)
    process.event("lmservice.listening")
    process.signal(number)
    assert process.wait(5) == 0


def test_stop_ends_it_with_0(start_process: Start) -> None:
    process = start_process(PROGRAM).wait_ready()
    process.stop()
    assert process.wait() == 0


def test_signals_before_it_has_begun_end_it_without_a_traceback(start_process: Start) -> None:
    process = start_process("import sys, time\nprint('importing', flush=True)\ntime.sleep(600)\n")
    wait_said(process, "importing")
    process.signal(signal.SIGTERM)
    assert process.wait(5) == 0
    assert process.output == ["importing"]


def test_ctrl_c_while_the_program_is_imported_ends_it_without_a_traceback(start_process: Start) -> None:
    process = start_process("import sys, time\nprint('importing', flush=True)\ntime.sleep(600)\n")
    wait_said(process, "importing")
    process.signal(signal.SIGINT)
    assert process.wait(5) == 0
    assert process.output == ["importing"]


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ('raise RuntimeError("no database")', "no database"),
        ("import asyncio; await asyncio.sleep(600)", "timeout"),
        ("raise SystemExit(0)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import asyncio; raise asyncio.CancelledError", "Cancelled"),
    ],
    ids=["raises", "hangs", "exits", "interrupts", "cancels"],
)
def test_a_start_up_job_that_fails_ends_it_with_3_and_is_named(start_process: Start, job: str, said: str) -> None:
    source = f"{PROGRAM}\n@service.startup_job(timeout=0.3)\nasync def database():\n    {job}\n"
    process = start_process(source)
    assert process.wait(10) == 3
    failed = process.event("lmservice.start_failed")
    assert "'database'" in failed["error"]
    assert said in str(failed)
    assert process.logs[-1]["event"] == "lmservice.stopped"
    assert not [line for line in process.output if line.startswith("Traceback")]


@pytest.mark.parametrize("job", ["raise RuntimeError('no database')", "raise SystemExit(0)"])
def test_a_plain_function_that_fails_ends_it_with_3_and_is_named(start_process: Start, job: str) -> None:
    process = start_process(f"{PROGRAM}\n@service.startup_job\ndef database():\n    {job}\n")
    assert process.wait(10) == 3
    assert "'database'" in process.event("lmservice.start_failed")["error"]


def test_the_whole_start_out_of_time_ends_it_with_3_and_names_the_job(start_process: Start) -> None:
    process = start_process(HANGING, settings={"LM_STARTUP_TIMEOUT": "0.3"})
    assert process.wait(10) == 3
    assert "'hanging'" in process.event("lmservice.start_failed")["error"]
    assert "LM_STARTUP_TIMEOUT" in process.event("lmservice.start_failed")["error"]


@pytest.mark.parametrize("body", ["raise RuntimeError('no good')", "import asyncio; await asyncio.sleep(600)"])
def test_a_clean_up_that_fails_ends_it_with_70(start_process: Start, body: str) -> None:
    process = start_process(CLEAN_UP % body, settings={"LM_CLEANUP_TIMEOUT": "0.3"}).wait_ready()
    process.signal(signal.SIGTERM)
    assert process.wait() == 70
    assert "'resource'" in str(process.event("lmservice.stopped"))


def test_work_that_is_cut_off_ends_it_with_70(start_process: Start) -> None:
    process = start_process(STUCK, settings={"LM_DRAIN_TIMEOUT": "0.3"}).wait_ready()
    with ask(process):
        process.signal(signal.SIGTERM)
        assert process.wait() == 70
    assert process.event("lmservice.stopped")["requests"] == {"served": 0, "cancelled": 1}


def test_ctrl_c_twice_ends_it_with_130(start_process: Start) -> None:
    process = start_process(STUCK).wait_ready()
    with ask(process):
        process.signal(signal.SIGINT)
        process.event("lmservice.draining")
        process.signal(signal.SIGINT)
        assert process.wait(5) == 130


def test_ctrl_c_after_sigterm_hurries_and_a_second_one_forces(start_process: Start) -> None:
    process = start_process(STUCK, settings={"LM_ENVIRONMENT": "qa"}).wait_ready()
    with ask(process):
        process.signal(signal.SIGTERM)
        process.event("lmservice.draining")
        process.signal(signal.SIGINT)
        assert process.manage("/livez")[0] == 200
        process.signal(signal.SIGINT)
        assert process.wait(5) == 130
