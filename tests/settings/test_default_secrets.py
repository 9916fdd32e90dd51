"""Secrets at the default that the code gives them: told by `check`, and at the start of production."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, SecretStr

from lmservice import Settings
from lmservice.cli.parser import main
from lmservice.settings.default_secrets import default_secrets


class Shop(Settings):
    token: SecretStr = SecretStr("letmein")
    signing_password: str = "letmein"
    broker: str = "amqp://guest:guest@localhost/"
    empty_token: SecretStr = SecretStr("")
    made_token: str = Field(default_factory=lambda: "made anew")
    database: str = "postgresql://localhost/shop"
    name: str = "shop"


def test_a_secret_that_the_code_gives_is_found_where_nothing_sets_it() -> None:
    settings = Shop.load_from({"LM_ENVIRONMENT": "qa", "LM_SIGNING_PASSWORD": "its own"})
    assert default_secrets(settings) == ["LM_TOKEN", "LM_BROKER"]


@pytest.mark.parametrize("given", [{}, {"LM_ENVIRONMENT": "qa", "LM_ALLOW_DEFAULT_SECRETS": "true"}])
def test_in_dev_and_where_it_is_allowed_none_is_found(given: dict[str, str]) -> None:
    assert default_secrets(Shop.load_from(given)) == []


PROGRAM = """
from pydantic import SecretStr
from lmservice import Service, Settings

class Shop(Settings):
    token: SecretStr = SecretStr("letmein")

service = Service("shop", routes=[], settings=Shop)
"""


def test_check_tells_of_it_outside_of_dev(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "default_secret_program.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("LM_ENVIRONMENT", "qa")
    assert main(["check", "default_secret_program:service"]) == 1
    said = capsys.readouterr().out
    assert "LM_TOKEN: is a secret, and at the default that everybody can read in the code" in said
    assert "letmein" not in said


@pytest.mark.parametrize(("environment", "warned"), [("production", ["LM_TOKEN"]), ("qa", [])])
def test_production_starts_with_a_warning(
    start_process: Callable[..., Any], environment: str, warned: list[str]
) -> None:
    process = start_process(PROGRAM, settings={"LM_ENVIRONMENT": environment}).wait_ready()
    lines = [json.loads(line) for line in process.output if line.startswith("{")]
    assert [line["variable"] for line in lines if line["event"] == "lmservice.default_secret"] == warned
