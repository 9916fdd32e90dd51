"""The command itself: its version, its help, its other name, and what it does without a command."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import LMSERVICE, Ended, lmservice
from processes import environment

from lmservice import __version__

Call = Callable[..., Ended]


def test_version_is_the_packages(call: Call) -> None:
    assert call("--version") == Ended(0, f"lmservice {__version__}\n", "")


def test_python_m_lmservice_is_the_same(folder: Path) -> None:
    as_module = subprocess.run(
        [sys.executable, "-m", "lmservice", "config", "program:service"],
        cwd=folder,
        env=environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    as_command = lmservice("config", "program:service", folder=folder)
    assert Ended(as_module.returncode, as_module.stdout, as_module.stderr) == as_command
    assert as_command.code == 0


@pytest.mark.parametrize("words", [["run"], ["stop"], ["config"], ["check"]])
def test_help_names_every_command_and_each_has_its_own(call: Call, words: list[str]) -> None:
    assert words[0] in call("--help").output
    ended = call(*words, "--help")
    assert (ended.code, ended.errors) == (0, "")
    assert f"lmservice {words[0]}" in ended.output


@pytest.mark.parametrize("words", [[], ["frun"], ["run"], ["run", "a:b", "c:d"], ["run", "a:b", "--prot", "1"]])
def test_words_that_there_are_not_are_bad_usage(call: Call, words: list[str]) -> None:
    ended = call(*words)
    assert (ended.code, ended.output) == (2, "")
    assert "usage: lmservice" in ended.errors
    assert "Traceback" not in ended.errors


def test_a_reader_that_has_gone_is_no_traceback(folder: Path) -> None:
    """`lmservice config ... | head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [LMSERVICE, "config", "program:service", "--format", "json"]
    ended = subprocess.run(
        command, cwd=folder, env=environment({}), stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert ended.stderr == ""
