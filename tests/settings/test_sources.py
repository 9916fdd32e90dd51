"""Where settings come from, and which source wins."""

from pathlib import Path

import pytest
from settings.conftest import Own, problems, put

from lmservice import Settings
from lmservice.settings.model import origin


def test_the_environment_stands_above_dot_env_above_secret_files_above_defaults(
    monkeypatch: pytest.MonkeyPatch, secrets: Path
) -> None:
    put(monkeypatch, PORT="1")
    Path(".env").write_text("LM_PORT=2\nLM_MANAGEMENT_PORT=2\n")
    for name in ("lm_port", "lm_management_port", "lm_max_concurrency"):
        (secrets / name).write_text("3\n")
    settings = Own.load()
    assert (settings.port, settings.management_port, settings.max_concurrency, settings.drain_delay) == (1, 2, 3, 5)
    names = ("port", "management_port", "max_concurrency", "drain_delay")
    assert [origin(settings, name) for name in names] == ["environment", ".env", "secrets", "default"]


@pytest.mark.parametrize("environment", ["qa", "production", "preview", "anything"])
def test_dot_env_is_read_in_dev_only(monkeypatch: pytest.MonkeyPatch, environment: str) -> None:
    Path(".env").write_text("LM_PORT=2\nLM_LOG_LEVEL=nonsense\n")
    put(monkeypatch, ENVIRONMENT=environment)
    assert (Own.load().port, origin(Own.load(), "port")) == (8081, "default")


def test_dot_env_is_not_read_where_a_secret_file_says_qa(secrets: Path) -> None:
    (secrets / "lm_environment").write_text("qa\n")
    Path(".env").write_text("LM_PORT=2\n")
    assert (Own.load().environment, Own.load().port) == ("qa", 8081)


def test_dot_env_is_not_read_where_the_class_says_another_environment() -> None:
    class Elsewhere(Settings):
        environment: str = "qa"

    Path(".env").write_text("LM_PORT=2\n")
    assert Elsewhere.load().port == 8081


def test_dot_env_cannot_make_another_environment_than_dev() -> None:
    Path(".env").write_text("LM_ENVIRONMENT=qa\n")
    assert ".env" in problems()[0]


def test_dot_env_says_dev_without_harm() -> None:
    Path(".env").write_text("LM_ENVIRONMENT=dev\nLM_PORT=2\n# a comment\nexport LM_GREETING='good day'\n")
    assert (Own.load().port, Own.load().greeting) == (2, "good day")


def test_a_secret_file_is_read_in_every_environment_without_its_line_end(
    monkeypatch: pytest.MonkeyPatch, secrets: Path
) -> None:
    put(monkeypatch, ENVIRONMENT="production")
    (secrets / "LM_TOKEN").write_text("hunter2\n")
    assert Own.load().token.get_secret_value() == "hunter2"


def test_secret_files_as_kubernetes_mounts_them_are_read(secrets: Path) -> None:
    data = secrets / "..2026_01_01"
    data.mkdir()
    (data / "LM_TOKEN").write_text("hunter2")
    (secrets / "..data").symlink_to(data.name)
    (secrets / "LM_TOKEN").symlink_to("..data/LM_TOKEN")
    assert Own.load().token.get_secret_value() == "hunter2"


def test_a_list_in_a_secret_file_may_be_json_or_comma_separated(secrets: Path) -> None:
    (secrets / "lm_names").write_text('["a", "b"]\n')
    (secrets / "lm_numbers").write_text("1, 2\n")
    assert (Own.load().names, Own.load().numbers) == (["a", "b"], (1, 2))


def test_a_secret_file_that_is_no_text_is_named(secrets: Path) -> None:
    (secrets / "lm_token").write_bytes(b"\xff\xfe\x00hunter2")
    (problem,) = problems()
    assert "lm_token" in problem.lower()
    assert "hunter2" not in problem


def test_what_a_test_gives_stands_above_all(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, PORT="1")
    settings = Own.load(port=5)
    assert (settings.port, origin(settings, "port")) == (5, "argument")
