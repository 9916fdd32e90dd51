"""`lmservice config`: one truth in four forms."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import FREE, PREAMBLE, Ended, lmservice
from processes import ServiceProcess

Call = Callable[..., Ended]
OWN = f"""{PREAMBLE}
class Own(Settings):
    greeting: str = Field("hello", description="what | to say")
    names: list[str] = Field(default=["a", "b"])
    limits: dict[str, int] = Field(default={{}})
    ratio: float = 0.5
    token: SecretStr = SecretStr("hunter0")
    database_url: str = "postgresql://me:hunter1@db:5432/flights"
    required: str
service = Service("program", routes=[], settings=Own)
"""
GIVEN = {
    "LM_REQUIRED": "given",
    "LM_TOKEN": "hunter2",
    "LM_NAMES": "c, d",
    "LM_LIMITS": '{"a": 1}',
    "LM_DATABASE_URL": "postgresql://me:hunter3@other/flights",
    "LM_LOG_LEVEL": "debug",
    "LM_GREETING": "it's a 'day'",
}
FORMS = ["table", "env", "markdown", "json"]


@pytest.fixture
def own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A service with settings of its own, most of which are set."""
    (folder / "program.py").write_text(OWN)
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    return folder


def settings(call: Call) -> Any:
    """What the JSON form says."""
    ended = call("config", "program:service", "--format", "json")
    assert (ended.code, ended.errors) == (0, "")
    return json.loads(ended.output)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.usefixtures("own")
def test_every_form_names_every_variable_and_shows_no_secret(call: Call, form: str) -> None:
    ended = call("config", "program:service", "--format", form)
    assert (ended.code, ended.errors) == (0, "")
    for name in ("PORT", "MANAGEMENT_ALLOW", "GRAPHITE_TAGS", "TOKEN", "DATABASE_URL", "REQUIRED", "LIMITS"):
        assert f"LM_{name}" in ended.output
    assert "hunter" not in ended.output
    assert "given" in ended.output


@pytest.mark.usefixtures("own")
def test_json_gives_value_default_and_source_by_name(call: Call) -> None:
    told = settings(call)
    assert {
        name: told[name]["value"] for name in ("required", "names", "limits", "log_level", "port", "access_log")
    } == {
        "required": "given",
        "names": ["c", "d"],
        "limits": {"a": 1},
        "log_level": "DEBUG",
        "port": 8081,
        "access_log": True,
    }
    assert (told["log_level"]["default"], told["log_level"]["source"]) == ("INFO", "environment")
    assert (told["required"]["default"], told["ratio"]["default"], told["names"]["default"]) == (None, 0.5, ["a", "b"])
    assert told["port"]["source"] == "default"
    assert told["management_allow"]["value"] == ["127.0.0.0/8", "::1/128"]
    assert told["max_body_size"]["value"] == 1048576


@pytest.mark.usefixtures("own")
def test_the_table_is_the_default_and_has_name_type_default_value_and_source(call: Call) -> None:
    ended = call("config", "program:service")
    assert ended == call("config", "program:service", "--format", "table")
    lines = ended.output.splitlines()
    assert lines[0].split() == ["VARIABLE", "TYPE", "DEFAULT", "VALUE", "SOURCE"]
    line = next(line for line in lines if line.startswith("LM_LOG_LEVEL "))
    assert line.split() == ["LM_LOG_LEVEL", "DEBUG|INFO|WARNING|ERROR|CRITICAL", "INFO", "DEBUG", "environment"]
    assert len(lines) == 1 + len(settings(call))


@pytest.mark.usefixtures("own")
def test_the_env_form_read_back_gives_the_same_settings(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets apart, which it does not tell."""
    before = settings(call)
    env = call("config", "program:service", "--format", "env").output
    for name in GIVEN:
        monkeypatch.delenv(name)
    (folder / ".env").write_text(env)
    after = settings(call)
    secret = {"token", "database_url"}
    assert {name: each["value"] for name, each in after.items() if name not in secret} == {
        name: each["value"] for name, each in before.items() if name not in secret
    }


@pytest.mark.usefixtures("own")
def test_the_env_form_sets_no_mask_as_if_it_were_a_value(call: Call) -> None:
    """A secret that is set must not come back from the file as asterisks."""
    lines = call("config", "program:service", "--format", "env").output.splitlines()
    assert not [line for line in lines if "**" in line and not line.startswith("#")]


@pytest.mark.usefixtures("own")
def test_the_markdown_form_is_one_table_that_no_value_breaks(call: Call) -> None:
    head, rule, *rows = call("config", "program:service", "--format", "markdown").output.strip().splitlines()
    cells = [next(csv.reader([row.replace("\\|", "/")], delimiter="|", quoting=csv.QUOTE_NONE)) for row in rows]
    assert {len(row) for row in cells} == {head.count("|") + 1} == {rule.count("|") + 1}
    assert len(rows) == len(settings(call))


@pytest.mark.parametrize("value", ["inf", "nan", "1e400"])
@pytest.mark.usefixtures("own")
def test_json_stays_json_where_a_number_is_none(call: Call, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LM_RATIO", value)
    ended = call("config", "program:service", "--format", "json")
    json.loads(ended.output, parse_constant=pytest.fail)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.usefixtures("own")
def test_bad_settings_are_refused_as_by_run(call: Call, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setenv("LM_PORT", "eighty")
    assert call("config", "program:service", "--format", form).problem.startswith("LM_PORT:")


@pytest.mark.usefixtures("own")
def test_a_form_that_there_is_not_is_bad_usage(call: Call) -> None:
    assert call("config", "program:service", "--format", "yaml").code == 2


def test_json_is_what_config_answers(start_process: Callable[..., ServiceProcess], folder: Path) -> None:
    given = {**GIVEN, "LM_RATIO": "inf", "LM_MAX_BODY_SIZE": "2MiB"}
    process = start_process(OWN, settings=given).wait_ready()
    ended = lmservice("config", "program:service", "--format", "json", folder=folder, settings={**FREE, **given})
    assert ended.code == 0
    assert process.manage("/config") == (200, json.loads(ended.output))


def test_the_env_form_leaves_out_what_each_machine_works_out_anew(call: Callable[..., Ended]) -> None:
    lines = call("config", "program:service", "--format", "env").output.splitlines()
    assert "# LM_INSTANCE=" in lines
    assert "# LM_PORT=8081" in lines
