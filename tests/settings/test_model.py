"""Every setting of lmservice's own: its default, and that it is read."""

import json
import os

import pytest
from pydantic import ValidationError
from settings.conftest import DEFAULTS, Own, problems, put

from lmservice import Settings


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_are_the_contracts(name: str) -> None:
    assert getattr(Settings.load(), name) == DEFAULTS[name]


def test_further_defaults_are_the_contracts() -> None:
    settings = Settings.load()
    assert [str(network) for network in settings.management_allow] == ["127.0.0.0/8", "::1/128"]
    assert settings.forwarded_allow == settings.management_allow
    assert settings.instance == os.uname().nodename
    assert set(Settings.model_fields) == {
        *DEFAULTS,
        *("service_name", "version", "revision", "instance", "management_allow", "graphite_prefix", "forwarded_allow"),
    }


def test_every_setting_is_read_from_lm_and_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, PORT="1", GREETING="hi", ACCESS_LOG="false", SIZE="7")
    settings = Own.load()
    assert (settings.port, settings.greeting, settings.access_log, settings.size) == (1, "hi", False, 7)


def test_variables_without_the_prefix_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("GREETING", "hi")
    settings = Own.load()
    assert (settings.port, settings.greeting) == (8081, "hello")


def test_settings_are_frozen() -> None:
    settings = Settings.load()
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]


def test_structured_settings_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, LIMITS=json.dumps({"a": 1}))
    assert Own.load().limits == {"a": 1}


@pytest.mark.parametrize("value", ["{", "a=1", "[1]", '{"a": "many"}'])
def test_structured_settings_that_are_not_are_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    put(monkeypatch, LIMITS=value)
    (problem,) = problems()
    assert problem.startswith("LM_LIMITS")


@pytest.mark.parametrize("name", ["origin", "sources", "problems"])
def test_a_setting_of_a_services_own_may_have_any_plausible_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """`LM_ORIGIN` is a likely setting, of CORS or of a flight."""
    own: type[Settings] = type("Named", (Settings,), {"__annotations__": {name: str}, name: "default"})
    put(monkeypatch, **{name.upper(): "given"})
    assert getattr(own(), name) == "given"
