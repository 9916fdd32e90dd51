"""What the tests of the command line share: commands that run, and commands that run inside the test."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import FREE, PROGRAM, Ended, lmservice

from lmservice.cli.parser import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The current directory of a command, with a service in `program.py` that has nothing of its own."""
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Callable[..., Ended]:
    """`lmservice run` of a program that does not get far; its settings are named without `LM_`."""

    def ran(program: str = PROGRAM, target: str = "program:service", **settings: str) -> Ended:
        (folder / "program.py").write_text(program)
        named = {f"LM_{name}": value for name, value in settings.items()}
        return lmservice("run", target, folder=folder, settings={**FREE, **named}, timeout=10)

    return ran


@pytest.fixture
def call(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Ended]]:
    """A command that starts nothing, inside this process: much faster than a process of its own."""
    monkeypatch.chdir(folder)
    before, path = set(sys.modules), list(sys.path)

    def called(*words: str) -> Ended:
        for name in set(sys.modules) - before:
            if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
        capfd.readouterr()
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        captured = capfd.readouterr()
        return Ended(code, captured.out, captured.err)

    yield called
    for name in set(sys.modules) - before:
        del sys.modules[name]
    sys.path[:] = path
