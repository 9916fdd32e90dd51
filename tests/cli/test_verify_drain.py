"""`lmservice verify-drain`: a service that loses nothing passes, and each that loses something is told what."""

from pathlib import Path

import pytest
from command import lmservice

from lmservice.cli.verify_drain.command import TrialOptions, _Trial
from lmservice.settings.model import Settings

HEAD = """
import asyncio, os, signal, time
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from lmservice import Service

async def home(request):
    await asyncio.sleep(0.002)
    return PlainTextResponse("home")

async def slow(request):
    await asyncio.sleep(30)
    return PlainTextResponse("slow")

async def dying(request):
    if request.state.lifecycle.draining:
        os._exit(9)
    await asyncio.sleep(0.01)
    return PlainTextResponse("well")

async def cut(request):
    async def parts():
        yield b"begin"
        await asyncio.sleep(30)
        yield b"end"
    return StreamingResponse(parts())

async def failing(request):
    await asyncio.sleep(0.002)
    return PlainTextResponse("", 500 if request.state.lifecycle.draining else 200)

service = Service("drained", routes=[
    Route("/", home), Route("/slow", slow), Route("/dying", dying), Route("/cut", cut), Route("/failing", failing),
])
"""
CLEAN_UP = """
@service.startup_job
async def connection(state):
    yield
    raise OSError("the connection would not close")
"""
SETTINGS = {"LM_DRAIN_TIMEOUT": "1"}


def verify(folder: Path, *words: str, program: str = HEAD) -> tuple[int, str]:
    (folder / "drained.py").write_text(program)
    more = ("--clients", "4", "--seconds", "1", *words)
    ended = lmservice("verify-drain", "drained:service", *more, folder=folder, settings=SETTINGS, timeout=100)
    assert "Traceback" not in ended.said
    return ended.code, ended.said


@pytest.mark.parametrize("how", [(), ("--signal",)], ids=["stop", "signal"])
def test_a_service_that_loses_nothing_passes(tmp_path: Path, how: tuple[str, ...]) -> None:
    code, said = verify(tmp_path, *how)
    assert (code, said.splitlines()[-1]) == (0, "PASS")
    assert "SIGTERM" in said if how else "/stop" in said
    assert "every answer" not in said


def test_a_path_that_the_service_does_not_have_is_pointed_out(tmp_path: Path) -> None:
    code, said = verify(tmp_path, "--path", "/none")
    assert (code, said.splitlines()[-1]) == (0, "PASS")
    assert "every answer was 404: name a path" in said


@pytest.mark.parametrize(
    ("path", "lost"),
    [
        ("/slow", "4 requests: answered 503"),
        ("/slow", "the process ended with 70"),
        ("/dying", "the process ended with 9"),
        ("/dying", "lost: "),
        ("/cut", "4 requests: truncated"),
        ("/failing", "answered 500"),
        ("/nothing?a=b", "PASS"),
    ],
)
def test_what_is_lost_is_named(tmp_path: Path, path: str, lost: str) -> None:
    code, said = verify(tmp_path, "--path", path)
    assert code == (0 if lost == "PASS" else 1)
    assert lost in said


def test_what_dot_env_sets_is_set_in_the_trial_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LM_TOKEN=from the file\n")
    needy = HEAD.replace(
        'service = Service("drained", ',
        """from lmservice import Settings
class Needy(Settings):
    token: str
service = Service("drained", settings=Needy, """,
    )
    code, said = verify(tmp_path, program=needy)
    assert (code, "PASS" in said) == (0, True), said


def test_a_clean_up_that_fails_fails_it_as_well(tmp_path: Path) -> None:
    code, said = verify(tmp_path, program=HEAD + CLEAN_UP)
    assert code == 1
    assert "the connection would not close" in said


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--clients", "0"), "--clients 0"),
        (("--seconds", "nan"), "--seconds nan"),
        (("--path", "home"), "--path 'home'"),
    ],
)
def test_a_word_that_makes_no_sense_is_refused(tmp_path: Path, words: tuple[str, ...], named: str) -> None:
    code, said = verify(tmp_path, *words)
    assert code == 2
    assert named in said


def test_a_service_that_does_not_start_is_no_verdict(tmp_path: Path) -> None:
    broken = HEAD + "\n@service.startup_job\nasync def database(state):\n    raise OSError('no database')\n"
    code, said = verify(tmp_path, program=broken)
    assert code == 2
    assert "no database" in said


def test_a_target_that_is_not_there_is_refused(tmp_path: Path) -> None:
    ended = lmservice("verify-drain", "nothing:service", folder=tmp_path)
    assert "nothing" in ended.problem


@pytest.mark.parametrize(
    ("variables", "least"), [({}, 20), ({"LM_DRAIN_DELAY": "90"}, 110), ({"LM_DRAIN_DELAY_MAX": "120"}, 140)]
)
def test_a_long_delay_of_ones_own_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], least: float
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    trial = _Trial(TrialOptions("program:service"), Settings())
    assert least < trial.limit < least + 30
