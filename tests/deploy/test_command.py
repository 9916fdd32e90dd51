"""`lmservice deploy` as a script meets it: JSON to the end, signals, and an output that goes away."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lmservice.deploy import InterruptedReleaseError
from lmservice.deploy.pipeline import _begun
from lmservice.deploy.progress_lines import Lines, undisturbed
from lmservice.deploy.signals import sheltered

LMSERVICE = str(Path(sys.executable).with_name("lmservice"))


def quiet(_: str, __: Mapping[str, Any]) -> None:
    """An observer that nobody watches."""


@pytest.mark.parametrize(
    "words",
    [["run", "--image", "shop", "--version", "1"], ["plan"], ["status"], ["rollback"]],
    ids=["run", "plan", "status", "rollback"],
)
def test_a_failure_is_a_line_of_json_too(words: list[str], tmp_path: Path) -> None:
    command, *more = words
    called = [LMSERVICE, "deploy", command, "shop", "--environment", "qa", "--output", "json", *more]
    ran = subprocess.run(called, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert json.loads(ran.stdout.splitlines()[-1])["event"] == "failed"
    failed = json.loads(ran.stdout.splitlines()[-1])
    assert (failed["reason"], failed["exit_code"]) == ("there is no folder 'deploy' with manifests", 2)
    assert "there is no folder 'deploy'" in ran.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_the_release_began_is_one_line_and_no_traceback(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(InterruptedReleaseError, match="interrupted before anything was touched"), _begun(quiet):
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before


def test_what_nohup_has_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _begun(quiet):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_on_the_way_back_a_runner_that_grows_impatient_is_not_heard_but_a_second_ctrl_c_is() -> None:
    with _begun(quiet), sheltered():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_an_output_that_is_full_does_not_end_a_release() -> None:
    with Path("/dev/full").open("w") as full:
        observe = undisturbed(Lines(full))
        for text in ("one", "two"):
            observe("note", {"text": text})
        with pytest.raises(OSError, match="No space left"):
            Lines(full)("note", {"text": "three"})
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # so that closing it can flush
