"""What `lmservice check` notes of an app that ran by another server, and of a service made for an older version."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from command import PROGRAM, Ended

from lmservice.cli import migration, upgrade

ORDINARY = """
import logging
import os

from fastapi import FastAPI, Request
from pydantic_settings import BaseSettings

from lmservice import Service

GREETING = os.environ.get("GREETING", "hello")
HOME = os.environ.get("HOME", "")


class Old(BaseSettings):
    currency: str = "EUR"


app = FastAPI()


@app.post("/upload")
async def upload(request: Request) -> str:
    return os.getenv("SECOND", "")


service = Service("shop", app=app)
"""
SOCKET = """
@app.websocket("/talk")
async def talk(socket): ...
"""
UPGRADED = """
[project]
name = "shop"
dependencies = ["starlette", "lmservice[client]REQUIRED"]
"""


@pytest.fixture
def check(call: Callable[..., Ended], folder: Path) -> Callable[..., Ended]:
    """`lmservice check` of a program."""

    def checked(program: str = ORDINARY, *words: str) -> Ended:
        (folder / "program.py").write_text(program)
        return call("check", "program:service", *words)

    return checked


def notes(ended: Ended) -> list[str]:
    return [line.removeprefix("note: ") for line in ended.output.splitlines() if line.startswith("note: ")]


def test_each_change_that_the_app_shows_is_a_note_and_fails_nothing(check: Callable[..., Ended]) -> None:
    ended = check()
    said = "\n".join(notes(ended))
    assert ended.code == 0
    assert re.search(r"^LM_MAX_BODY_SIZE: .*1.0MiB.*413.*POST /upload", said, re.MULTILINE)
    assert re.search(r"^LM_REQUEST_TIMEOUT: .*30 s.*504", said, re.MULTILINE)
    assert re.search(r"^GREETING: program.py:10 .*LM_GREETING.*validation_alias='GREETING'", said, re.MULTILINE)
    assert re.search(r"^SECOND: program.py:\d+ ", said, re.MULTILINE)
    assert "Old of program reads CURRENCY" in said
    assert "HOME" not in said
    assert "TestClient" not in said
    assert "well" in ended.output


def test_a_limit_that_is_set_is_not_named_again(check: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LM_MAX_BODY_SIZE", "1048576")
    assert not any(note.startswith("LM_MAX_BODY_SIZE") for note in notes(check()))
    own = "class Own(Settings):\n    request_timeout: float = 5\n\n\n"
    program = ORDINARY.replace("import Service", "import Service, Settings").replace(
        'service = Service("shop", app=app)', own + 'service = Service("shop", app=app, settings=Own)'
    )
    assert not any(note.startswith("LM_") for note in notes(check(program)))


def test_the_handlers_of_the_root_logger_are_named(check: Callable[..., Ended]) -> None:
    ended = check(ORDINARY + "logging.getLogger().addHandler(marked := logging.FileHandler(os.devnull))\n")
    import logging  # noqa: PLC0415

    root = logging.getLogger()
    for handler in [each for each in root.handlers if type(each) is logging.FileHandler]:
        root.removeHandler(handler)
        handler.close()
    assert any("FileHandler" in note and "replaced" in note for note in notes(ended))


def test_tests_with_a_test_client_are_named(check: Callable[..., Ended], folder: Path) -> None:
    (folder / "tests").mkdir()
    (folder / "tests" / "test_shop.py").write_text("with TestClient(app) as client: ...")
    assert any(note.startswith("tests/test_shop.py: `with TestClient(service)`") for note in notes(check()))


def test_a_web_socket_without_a_library_is_a_finding(
    check: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check(ORDINARY + SOCKET).code == 0
    monkeypatch.setattr(migration, "LIBRARIES", ("no_such_library",))
    ended = check(ORDINARY + SOCKET)
    assert ended.code == 1
    assert "/talk: no library for WebSockets is installed, so that it is answered 404: pip install" in ended.output
    assert check().code == 0


def test_a_program_is_given_the_notes_apart(check: Callable[..., Ended]) -> None:
    entries = json.loads(check(ORDINARY, "--format", "json").output)
    assert entries
    assert all(entry["note"] for entry in entries)


def test_a_service_of_routes_has_nothing_that_changes(check: Callable[..., Ended]) -> None:
    assert notes(check(PROGRAM + "\nimport os\nos.environ.get('GREETING')\n")) == []


@pytest.mark.parametrize(
    ("required", "named"),
    [("", True), (">=0.1", True), ("~=0.1.4", True), (">=0.2", False), (">=0.2,<1", False), (">=1.0", False)],
)
def test_changed_defaults_are_named_while_the_project_admits_the_old_version(
    check: Callable[..., Ended], folder: Path, required: str, *, named: bool
) -> None:
    (folder / "pyproject.toml").write_text(UPGRADED.replace("REQUIRED", required))
    said = "\n".join(notes(check(PROGRAM)))
    assert ("since 0.2 LM_KEEP_ALIVE_TIMEOUT is 100 s, and was 75" in said) is named


def test_a_service_of_a_template_that_keeps_its_version_is_new_enough(
    check: Callable[..., Ended], folder: Path
) -> None:
    made = '\n[tool.lmservice]\ntemplate = "0.2.0"\n'
    (folder / "pyproject.toml").write_text(UPGRADED.replace("REQUIRED", ">=0.1") + made)
    assert notes(check(PROGRAM)) == []


def test_only_changed_defaults_that_concern_the_service_are_named(
    check: Callable[..., Ended], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "pyproject.toml").write_text(UPGRADED.replace("REQUIRED", ">=0.1"))
    said = "\n".join(notes(check(PROGRAM)))
    assert "readyz" not in said
    assert "cookies" not in said
    assert "Graphite" not in said
    monkeypatch.setenv("LM_GRAPHITE_URL", "graphite://host")
    monkeypatch.setenv("LM_KEEP_ALIVE_TIMEOUT", "100")
    more = "\nservice.health_check(critical=True)(print)\nservice.client('http://other')\n"
    said = "\n".join(notes(check(PROGRAM + more)))
    for word in ("/readyz", "cookies", "LM_GRAPHITE_TAGS"):
        assert word in said
    assert "LM_KEEP_ALIVE_TIMEOUT" not in said


def test_what_has_changed_is_as_the_changelog_has_it() -> None:
    text = (Path(__file__).parents[2] / "CHANGELOG.md").read_text()
    section = text.partition("### Changed defaults")[2].partition("###")[0]
    listed = "\n".join(change.text for change in upgrade.CHANGED)
    of_everybody = {"LM_DRAIN_TIMEOUT", "LM_GRAPHITE_PREFIX"}  # under --reload; of names without a prefix
    for variable in set(re.findall(r"LM_[A-Z_]+", section)) - of_everybody:
        assert variable in listed
