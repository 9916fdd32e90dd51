"""What type checkers know of a service: its state, its settings, its endpoints; held to it by mypy and by pyright."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from rendered import BIN, run

PROGRAM = """
from typing import TypedDict

from starlette.requests import Request
from starlette.routing import Route

from lmservice import Service, Settings, operation


class ShopSettings(Settings):
    refresh_every: float = 60


class ShopState(TypedDict):
    settings: ShopSettings
    phrase: str


@operation
async def greet(request: Request[ShopState]) -> str:
    request.state["phrse"]  # wrong
    request.state["phrase"].nothing  # wrong
    return request.state["phrase"].upper()


service = Service("shop", routes=[Route("/", greet)], settings=ShopSettings)
client = service.client(lambda settings: f"http://localhost:{settings.port}")
service.client(lambda settings: settings.prt)  # wrong


@service.startup_job(attempts=None, timeout=30)
async def phrase(state: ShopState) -> str:
    state["settings"].nothing  # wrong
    return state["settings"].environment


@service.periodic_job(every=lambda settings: settings.refresh_every)
async def refresh() -> None: ...


service.periodic_job(every=lambda settings: settings.refrsh_every)  # wrong
service.periodic_job(every=lambda settings: settings.environment)  # wrong


def known(service: Service) -> None: ...


def other(service: Service[ShopSettings]) -> None: ...


known(service)
other(service)
plain = Service("plain", routes=[])
other(plain)  # wrong
"""
WRONG = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith("# wrong")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(PROGRAM)
    return tmp_path


def test_mypy_finds_what_is_wrong_and_nothing_else(folder: Path) -> None:
    checked = run([str(BIN / "mypy"), "--strict", "--cache-dir", str(folder / "cache"), "shop.py"], folder, {})
    assert {int(number) for number in re.findall(r"shop\.py:(\d+): error", checked.stdout)} == WRONG, checked.stdout


def test_pyright_finds_what_is_wrong_and_nothing_else(folder: Path) -> None:
    program = shutil.which("pyright") or shutil.which("basedpyright")
    if program is None:
        pytest.skip("neither pyright nor basedpyright on PATH: .ci/run installs one")
    checked = run([program, "--pythonpath", sys.executable, "--outputjson", "--level", "error", "shop.py"], folder, {})
    findings = json.loads(checked.stdout)["generalDiagnostics"]
    assert {finding["range"]["start"]["line"] + 1 for finding in findings} == WRONG, checked.stdout
