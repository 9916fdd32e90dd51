"""Start-ups that fail, hang, or are stopped half-way."""

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from drained_instance import SETTINGS, refuses
from processes import ServiceProcess

PROGRAM = """
import asyncio
import pathlib
import time

from lmservice import Service

service = Service("starting", routes=[])


def note(name):
    pathlib.Path(name).write_text(str(time.monotonic()))

"""
FAILING = """
@service.startup_job()
async def alpha(state):
    await asyncio.sleep(0.2)
    note("failed")
    raise RuntimeError("no such table")


@service.startup_job()
async def beta(state):
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        note("cancelled")
        raise


@service.startup_job()
async def gamma(state):
    yield "ready before alpha fails"
    note("cleaned")
"""
HANGING = """
@service.startup_job({limits})
async def hanging(state):
    note("began")
    await asyncio.sleep(60)
"""
HANGING_IN_A_THREAD = """
@service.startup_job({limits})
def hanging(state):
    note("began")
    time.sleep(60)
"""

Run = Callable[..., ServiceProcess]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with ExitStack() as running:

        def started(jobs: str, settings: Mapping[str, str] | None = None) -> ServiceProcess:
            process = ServiceProcess(PROGRAM + jobs, folder=tmp_path, settings={**SETTINGS, **(settings or {})})
            running.callback(lambda: print(*process.output[-100:], sep="\n"))  # noqa: T201 - pytest captures it
            return running.enter_context(process)

        yield started


def noted(folder: Path, name: str) -> float:
    """The moment that a job noted, waited for."""
    end = time.monotonic() + 20
    while not (folder / name).is_file() or not (folder / name).read_text():
        assert time.monotonic() < end, f"no job came to: {name}"
        time.sleep(0.005)
    return float((folder / name).read_text())


def blamed(service: ServiceProcess, job: str) -> bool:
    """Whether a log event of an error names the job."""
    errors = [event for event in service.logs if event.get("level") in {"error", "critical"}]
    return any(job in str(event) for event in errors)


@pytest.mark.alone
def test_a_failing_job_cancels_the_others_and_ends_the_process_before_its_port_accepts(
    run: Run, tmp_path: Path
) -> None:
    """Case 22."""
    service = run(FAILING).wait_answering("/readyz", 503)
    while service.running:
        assert refuses(service.port)
    ended = time.monotonic()
    assert service.wait() == 3
    assert ended - noted(tmp_path, "failed") < 1
    assert noted(tmp_path, "cancelled") > noted(tmp_path, "failed")
    assert noted(tmp_path, "cleaned") > noted(tmp_path, "failed")
    assert blamed(service, "alpha")
    assert not blamed(service, "beta")


@pytest.mark.parametrize("jobs", [HANGING, HANGING_IN_A_THREAD], ids=["coroutine", "thread"])
@pytest.mark.parametrize(
    ("limits", "settings"),
    [("timeout=0.5", {}), ("", {"LM_STARTUP_TIMEOUT": "0.5"})],
    ids=["the job's timeout", "the start-up's timeout"],
)
def test_a_hanging_job_ends_the_process_at_its_timeout_and_is_named(
    run: Run, tmp_path: Path, jobs: str, limits: str, settings: dict[str, str]
) -> None:
    """Case 23."""
    service = run(jobs.format(limits=limits), settings)
    began = noted(tmp_path, "began")
    assert service.wait() == 3
    assert 0.4 < time.monotonic() - began < 0.5 + 2
    assert blamed(service, "hanging")


@pytest.mark.alone
@pytest.mark.parametrize("jobs", [HANGING, HANGING_IN_A_THREAD], ids=["coroutine", "thread"])
def test_a_sigterm_while_a_job_hangs_ends_the_process_cleanly_within_a_second(
    run: Run, tmp_path: Path, jobs: str
) -> None:
    """Case 23."""
    service = run(jobs.format(limits="timeout=30"))
    noted(tmp_path, "began")
    service.wait_answering("/startupz", 503)
    stopped = time.monotonic()
    service.signal(signal.SIGTERM)
    assert service.wait() == 0
    assert time.monotonic() - stopped < 1


@pytest.mark.alone
def test_a_stop_call_while_a_job_hangs_is_answered_and_ends_the_process_cleanly(run: Run, tmp_path: Path) -> None:
    """Case 23, through the other door."""
    service = run(HANGING.format(limits="timeout=30"))
    noted(tmp_path, "began")
    stopped = time.monotonic()
    assert service.stop()["status"] == "stopped"
    assert service.wait() == 0
    assert time.monotonic() - stopped < 1
