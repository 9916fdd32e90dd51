"""What is told of settings that cannot be used."""

import pytest
from pydantic import field_validator
from settings.conftest import problems, put

from lmservice import Settings
from lmservice.errors import SettingsError


def test_what_a_url_must_begin_with_is_said_though_the_rest_of_it_is_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stored(Settings):
        database_url: str = ""

        @field_validator("database_url")
        @classmethod
        def _known(cls, value: str) -> str:
            raise ValueError(f"postgresql://USER:PASSWORD@HOST/DATABASE, not {value}")

    monkeypatch.setenv("LM_DATABASE_URL", "postgresql://somebody:hunter22@nowhere")
    with pytest.raises(SettingsError) as raised:
        Stored.load()
    assert "postgresql://USER:PASSWORD@HOST/DATABASE, not ********" in str(raised.value)
    assert "hunter22" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", "70000", "expected int, 0 to 65535"),
        ("MAX_CONCURRENCY", "0", "expected int of at least 1"),
        ("STARTUP_TIMEOUT", "0", "expected float above 0 and of at most 86400"),
        ("DRAIN_TIMEOUT", "5s", "times are numbers of seconds: write 5 "),
        ("DRAIN_TIMEOUT", "1.5 min", "times are numbers of seconds: write 90 "),
        ("HEAD_TIMEOUT", "500ms", "times are numbers of seconds: write 0.5 "),
    ],
)
def test_a_range_and_a_time_are_told_as_a_person_would(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    put(monkeypatch, **{name: value})
    (line,) = problems()
    assert line.startswith(f"LM_{name}: {value!r}: ")
    assert said in line


@pytest.mark.filterwarnings("ignore:Field 'limit' has an incomplete definition")
def test_a_type_that_cannot_be_found_is_named() -> None:
    own: type[Settings] = type("Unfinished", (Settings,), {"__annotations__": {"limit": "Limit"}, "limit": 1})
    (problem,) = problems(own)
    assert problem.startswith("the settings cannot be used: Unfinished has the type 'Limit'")
    assert "TYPE_CHECKING" in problem
