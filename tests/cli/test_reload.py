"""`lmservice run --reload`: a developer's service, anew after each change, and nothing left behind."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.command import FREE, LMSERVICE, PREAMBLE
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

    def __init__(self, folder: Path) -> None:
        super().__init__([LMSERVICE, "run", "--reload", "program:service"], folder=folder, settings=FREE)

    def wait_said(self, words: str, times: int = 1) -> None:
        """Returns once its output has had the words so often."""
        deadline = Deadline()
        while sum(words in line for line in self.output) < times:
            assert self.running, f"ended before: {words}"
            deadline.wait(words)

    @property
    def children(self) -> list[int]:
        """The processes in which the service ran."""
        return [int(line.split()[1]) for line in self.output if line.startswith("pid ")]


class Deadline:
    """Short waits, up to a limit."""

    def __init__(self) -> None:
        self._left = int(TIMEOUT / 0.02)

    def wait(self, what: str) -> None:
        """Waits a little; fails once that was too often."""
        self._left -= 1
        assert self._left, f"not within {TIMEOUT} s: {what}"
        time.sleep(0.02)


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


def change(folder: Path, source: str) -> None:
    """Writes the program anew, later than before for every clock."""
    path = folder / "program.py"
    later = path.stat().st_mtime + 5
    path.write_text(source)
    os.utime(path, (later, later))


def test_a_change_starts_it_anew_after_a_clean_stop(reloading: Reloading, folder: Path) -> None:
    change(folder, PROGRAM.replace("one", "two"))
    reloading.wait_said("program says two")
    reloading.wait_said("lmservice.ready", 2)
    said = [line for line in reloading.output if not line.startswith("{")]
    assert said.index("cleaned up") < said.index("program says two")
    first, second = reloading.children
    assert (alive(first), alive(second)) == (False, True)
    reloading.signal(signal.SIGINT)
    assert reloading.wait() == 0


def test_a_mistake_is_told_and_its_correction_runs(reloading: Reloading, folder: Path) -> None:
    change(folder, "def f(:")
    reloading.wait_said("SyntaxError")
    assert not any("Traceback" in line for line in reloading.output)
    change(folder, PROGRAM.replace("one", "three"))
    reloading.wait_said("program says three")
    reloading.wait_said("lmservice.ready", 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_without_leaving_children(reloading: Reloading, number: signal.Signals) -> None:
    reloading.signal(number)
    assert reloading.wait() == 0
    assert "cleaned up" in reloading.output
    assert sum("lmservice.stopped" in line for line in reloading.output) == 1
    assert [child for child in reloading.children if alive(child)] == []
    assert not any("Traceback" in line for line in reloading.output)


def test_ctrl_c_at_a_terminal_reaches_both_and_ends_both_with_0(reloading: Reloading) -> None:
    for pid in (*reloading.children, reloading.pid):
        os.kill(pid, signal.SIGINT)
    assert reloading.wait() == 0
    assert "cleaned up" in reloading.output
    assert [child for child in reloading.children if alive(child)] == []


@pytest.mark.parametrize("target", ["nowhere:service", "program", "program:nothing"])
def test_a_target_that_names_no_service_is_told(folder: Path, target: str) -> None:
    command = [LMSERVICE, "run", "--reload", target]
    with Process(command, folder=folder, settings=FREE) as process:
        deadline = Deadline()
        while not any(line.startswith("lmservice: ") for line in process.output):
            deadline.wait("a word")
        assert not any("Traceback" in line for line in process.output)
        process.signal(signal.SIGINT)
        process.wait()
