"""The names of variables, and those that only look like them."""

from pathlib import Path

import pytest
from pydantic import Field
from settings.conftest import Own

from lmservice import Settings
from lmservice.settings.variables import misspelt


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("LM_POTR", "LM_PORT"),
        ("LM_DRAINTIMEOUT", "LM_DRAIN_TIMEOUT"),
        ("LM_DRAIN_TIME_OUT", "LM_DRAIN_TIMEOUT"),
        ("LM_GREETINGS", "LM_GREETING"),
        ("LM_MANAGMENT_PORT", "LM_MANAGEMENT_PORT"),
        ("LM_SECRET_DIR", "LM_SECRETS_DIR"),
        ("lm_drain_tiemout", "LM_DRAIN_TIMEOUT"),
        ("LM_QQQQQQ", ""),
    ],
)
def test_a_misspelt_variable_is_found_with_the_nearest_right_name(
    monkeypatch: pytest.MonkeyPatch, name: str, nearest: str
) -> None:
    monkeypatch.setenv(name, "1")
    assert misspelt(Own) == {name: nearest}


def test_no_right_name_is_taken_for_a_misspelling(monkeypatch: pytest.MonkeyPatch, secrets: Path) -> None:
    for name in Own.model_fields:
        monkeypatch.setenv(f"LM_{name.upper()}", "1")
    assert secrets.is_dir()
    assert misspelt(Own) == {}


def test_a_variable_under_an_alias_is_no_misspelling(monkeypatch: pytest.MonkeyPatch) -> None:
    class Aliased(Settings):
        database: str = Field("", validation_alias="LM_DB")

    monkeypatch.setenv("LM_DB", "here")
    assert Aliased.load().database == "here"
    assert misspelt(Aliased) == {}
