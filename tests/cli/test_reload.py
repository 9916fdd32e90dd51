"""`lmservice run --reload`: a developer's service, anew after each change, and nothing left behind."""

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from command import FREE, LMSERVICE, PREAMBLE
from processes import TIMEOUT, Process

PROGRAM = f"""{PREAMBLE}
print("program says one", flush=True)
service = Service("program", routes=[])
@service.startup_job
async def resource():
    import os
    print("pid", os.getpid(), flush=True)
    yield 1
    print("cleaned up", flush=True)
"""


class Reloading(Process):
    """`lmservice run --reload`."""

    def __init__(self, folder: Path, target: str = "program:service", **settings: str) -> None:
        self._folder = folder
        super().__init__([LMSERVICE, "run", "--reload", target], folder=folder, settings={**FREE, **settings})

    def change(self, source: str, words: str) -> None:
        """Writes the program anew, and returns once it has been heeded with these words.

        A change before the first look at the files is none, so it is made again where nothing comes of it.
        """
        path = self._folder / "program.py"
        for attempt in range(1, 6):
            path.write_text(source)
            os.utime(path, (time.time() + 5 * attempt,) * 2)
            with contextlib.suppress(TimeoutError):
                return self.wait_said(words, timeout=TIMEOUT / 4)
        raise TimeoutError(words)

    def wait_said(self, words: str, times: int = 1, timeout: float = TIMEOUT) -> None:
        """Returns once its output has had the words so often."""
        end = time.monotonic() + timeout
        while sum(words in line for line in self.output) < times:
            assert self.running, f"ended before: {words}"
            if time.monotonic() > end:
                raise TimeoutError(words)
            time.sleep(0.02)

    @property
    def children(self) -> list[int]:
        """The processes in which the service ran."""
        return [int(line.split()[1]) for line in self.output if line.startswith("pid ")]


@pytest.fixture
def reloading(folder: Path) -> Iterator[Reloading]:
    """A service that reloads, and is ready."""
    (folder / "program.py").write_text(PROGRAM)
    with Reloading(folder) as process:
        process.wait_said("lmservice.ready")
        yield process
        for child in process.children:
            if alive(child):
                os.kill(child, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether a process runs (or waits to be reaped)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_change_starts_it_anew_after_a_clean_stop(reloading: Reloading) -> None:
    reloading.change(PROGRAM.replace("one", "two"), "program says two")
    reloading.wait_said("lmservice.ready", 2)
    said = [line for line in reloading.output if not line.startswith("{")]
    assert said.index("cleaned up") < said.index("program says two")
    first, second = reloading.children
    assert (alive(first), alive(second)) == (False, True)
    reloading.signal(signal.SIGINT)
    assert reloading.wait() == 0


def test_a_mistake_is_told_and_its_correction_runs(reloading: Reloading) -> None:
    reloading.change("def f(:", "SyntaxError")
    assert not any("Traceback" in line for line in reloading.output)
    reloading.change(PROGRAM.replace("one", "three"), "program says three")
    reloading.wait_said("lmservice.ready", 2)
    assert sum("Reloading..." in line for line in reloading.output) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly_without_leaving_children(reloading: Reloading, number: signal.Signals) -> None:
    reloading.signal(number)
    assert reloading.wait() == 0
    assert "cleaned up" in reloading.output
    assert sum("lmservice.stopped" in line for line in reloading.output) == 1
    assert [child for child in reloading.children if alive(child)] == []
    assert not any("Traceback" in line for line in reloading.output)


def test_a_service_that_is_stopped_ends_the_reloading_too(reloading: Reloading) -> None:
    os.kill(reloading.children[0], signal.SIGTERM)  # as `/stop` stops it, without its supervisor
    assert reloading.wait() == 0
    assert "cleaned up" in reloading.output


def test_ctrl_c_at_a_terminal_reaches_both_and_ends_both_with_0(reloading: Reloading) -> None:
    for pid in (*reloading.children, reloading.pid):
        os.kill(pid, signal.SIGINT)
    assert reloading.wait() == 0
    assert "cleaned up" in reloading.output
    assert [child for child in reloading.children if alive(child)] == []


def test_what_runs_in_it_stops_cleanly_where_it_was_killed(reloading: Reloading) -> None:
    reloading.signal(signal.SIGKILL)
    assert reloading.wait() == -signal.SIGKILL
    assert "cleaned up" in reloading.output
    assert sum("lmservice.stopped" in line for line in reloading.output) == 1


@pytest.mark.parametrize("target", ["nowhere:service", "program", "program:nothing"])
def test_a_target_that_names_no_service_is_told(folder: Path, target: str) -> None:
    with Reloading(folder, target) as process:
        process.wait_said("lmservice: ")
        assert not any("Traceback" in line for line in process.output)
        process.signal(signal.SIGINT)
        process.wait()


def test_workers_are_not_heeded_and_it_says_so(folder: Path) -> None:
    (folder / "program.py").write_text(PROGRAM)
    with Reloading(folder, LM_WORKERS="2") as process:
        process.wait_said("lmservice.ready")
        process.wait_said("LM_WORKERS=2")
        assert len(process.children) == 1
        process.signal(signal.SIGINT)
        process.wait()


STREAM = """
import asyncio
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from lmservice import Service


async def events(request):
    async def parts():
        while True:
            yield "data: tick\\n\\n"
            await asyncio.sleep(0.2)

    return StreamingResponse(parts(), media_type="text/event-stream")


service = Service("page", routes=[Route("/events", events)])
print("program says one")
"""


def test_an_event_stream_that_is_open_does_not_put_the_new_code_off(folder: Path) -> None:
    (folder / "program.py").write_text(STREAM)
    with Reloading(folder, LM_ENVIRONMENT="qa") as process:
        process.wait_said("lmservice.ready")
        with socket.create_connection(("127.0.0.1", port_of(process))) as held:
            held.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in held.recv(1000)
            process.change(STREAM.replace("one", "two"), "program says two")
            process.wait_said("lmservice.ready", 2)
        (stopped,) = [json.loads(line) for line in process.output if '"lmservice.stopped"' in line]
        assert stopped["seconds"] < 1


def port_of(process: Reloading) -> int:
    listening = next(json.loads(line) for line in process.output if '"lmservice.listening"' in line)
    return urlsplit(listening["url"]).port or 0
