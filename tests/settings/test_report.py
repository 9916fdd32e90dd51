from pathlib import Path
from typing import Any

import pytest
from pydantic import AliasChoices, Field, SecretStr

from lmservice import Settings
from lmservice.errors import MASK
from lmservice.settings.report import by_name, describe


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Own(Settings):
    token: SecretStr = SecretStr("hunter0")
    password: str = "hunter1"
    database_url: str = "postgresql://me:hunter2@db/flights"
    names: list[str] = Field(default_factory=lambda: ["a"], description="who")
    required: int


def told(settings: type[Settings] = Own, **given: Any) -> dict[str, dict[str, Any]]:
    return by_name(settings.load(**given))


def test_every_setting_is_there_by_its_name() -> None:
    assert set(told(required=1)) == set(Own.model_fields)


def test_each_has_value_default_and_source() -> None:
    each = told(required=1, drain_delay=2)["drain_delay"]
    assert (each["value"], each["default"], each["source"]) == (2, 5, "argument")
    assert (told(required=1)["required"]["value"], told(required=1)["required"]["default"]) == (1, None)


def test_secrets_are_masked_in_value_and_default() -> None:
    configuration = told(required=1, password="hunter3")
    assert "hunter" not in str(configuration)
    assert (configuration["password"]["value"], configuration["password"]["default"]) == (MASK, MASK)
    assert configuration["token"]["default"] == MASK


def test_none_of_the_settings_that_every_service_has_is_masked() -> None:
    """A pod's name and a revision are what one looks for there; `/info` tells them to anybody."""
    given = {
        "instance": "search-service-7d4b9c8f6d-x2x4z",
        "revision": "9fceb02d0ae598e95dc970b74767f19372d61af8",
        "version": "2026.7.4+build.20260704123456abcdef",
        "service_name": "search-service",
        "management_hosts": ("search-service.team-flights-2.svc.cluster.local",),
        "graphite_prefix": "services.search.production.europe-west-1a",
    }
    configuration = by_name(Settings.load(**given))
    assert [name for name, each in configuration.items() if MASK in str(each)] == []


def test_the_description_and_the_type_are_for_people() -> None:
    names = next(each for each in describe(Own.load(required=1)) if each.name == "names")
    assert (names.variable, names.type, names.default, names.description) == ("LM_NAMES", "list of str", ["a"], "who")


@pytest.mark.parametrize("alias", ["LM_EM", AliasChoices("LM_EM", "LM_EMM")], ids=["alias", "choices"])
def test_a_setting_under_an_alias_has_that_variable_and_its_source(
    monkeypatch: pytest.MonkeyPatch, alias: str | AliasChoices
) -> None:
    class Aliased(Settings):
        m: int = Field(3, validation_alias=alias)

    monkeypatch.setenv("LM_EM", "6")
    (each,) = [each for each in describe(Aliased.load()) if each.name == "m"]
    assert (each.variable, each.value, each.source) == ("LM_EM", 6, "environment")


def test_values_are_plain_json() -> None:
    for each in told(required=1).values():
        assert isinstance(each["value"], str | int | float | bool | list | dict | None)
