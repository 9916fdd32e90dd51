import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, SecretStr, ValidationError, field_validator

from lmservice import Settings
from lmservice.errors import SettingsError
from lmservice.settings.fields import graphite_address, type_name
from lmservice.settings.model import origin
from lmservice.settings.variables import misspelt


class Own(Settings):
    greeting: str = "hello"
    names: list[str] = Field(default=[])
    numbers: tuple[int, ...] = ()
    flags: set[str] = Field(default=set())
    limits: dict[str, int] = Field(default={})
    token: SecretStr = SecretStr("")
    size: int | None = None


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in LM_SECRETS_DIR."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setenv("LM_SECRETS_DIR", str(folder))
    return folder


def put(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Sets variables, named without `LM_`."""
    for name, value in values.items():
        monkeypatch.setenv(f"LM_{name}", value)


def problems(settings: type[Settings] = Own, **given: Any) -> list[str]:
    """What is wrong with the settings."""
    with pytest.raises(SettingsError) as caught:
        settings.load(**given)
    return caught.value.problems


DEFAULTS = {
    "environment": "dev",
    "host": "0.0.0.0",
    "port": 8081,
    "management_host": "::",
    "management_port": 8002,
    "management_hosts": (),
    "log_level": "INFO",
    "log_format": "auto",
    "access_log": True,
    "startup_timeout": 60,
    "drain_delay": 5,
    "drain_quiet": 1,
    "drain_delay_max": 15,
    "drain_timeout": 20,
    "idle_grace": 10,
    "cleanup_timeout": 5,
    "termination_grace_period": 60,
    "keep_alive_timeout": 100,
    "liveness_stall": 10,
    "http": "auto",
    "loop": "auto",
    "workers": 1,
    "request_timeout": 30,
    "max_body_size": 1048576,
    "max_concurrency": 1000,
    "head_timeout": 10,
    "max_head_size": 65536,
    "max_headers": 100,
    "write_timeout": 60,
    "max_connection_age": 0,
    "log_client": True,
    "forwarded_headers": ("for", "proto"),
    "root_path": "",
    "graphite_url": "",
    "graphite_interval": 60,
    "graphite_tags": True,
    "allow_default_secrets": False,
}


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


@pytest.mark.parametrize("value", ['["a", "b"]', "a,b", " a , b ", "a,b,", ' [ "a","b" ] '])
def test_a_list_is_json_or_comma_separated(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    put(monkeypatch, NAMES=value, FLAGS=value)
    settings = Own.load()
    assert (settings.names, settings.flags) == (["a", "b"], {"a", "b"})


@pytest.mark.parametrize(("value", "numbers"), [("1", (1,)), ("1,2", (1, 2)), ("[1, 2]", (1, 2)), ("", ()), ("[]", ())])
def test_a_list_of_numbers_is_json_or_comma_separated(
    monkeypatch: pytest.MonkeyPatch, value: str, numbers: tuple[int, ...]
) -> None:
    put(monkeypatch, NUMBERS=value)
    assert Own.load().numbers == numbers


@pytest.mark.parametrize("value", ["5", "true", "null", "1.0", "NaN"])
def test_one_word_is_a_list_of_that_word_even_where_json_reads_something_else(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    put(monkeypatch, NAMES=value)
    assert Own.load().names == [value]


@pytest.mark.parametrize("value", ["10.0.0.0/8,fd00::/8", '["10.0.0.0/8", "fd00::/8"]'])
def test_networks_are_a_list_too(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    put(monkeypatch, MANAGEMENT_ALLOW=value)
    assert [str(network) for network in Own.load().management_allow] == ["10.0.0.0/8", "fd00::/8"]


def test_one_address_is_a_network_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, MANAGEMENT_ALLOW="10.1.2.3,::1")
    assert [str(network) for network in Own.load().management_allow] == ["10.1.2.3/32", "::1/128"]


@pytest.mark.parametrize("value", ["10.0.0.1/8", "10.0.0.0/33", "everyone", "10.0.0.0/8;10.1.0.0/16", "1", "[1]", "{}"])
def test_a_network_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Above all a bare number, which as an address would be 0.0.0.1."""
    put(monkeypatch, MANAGEMENT_ALLOW=value)
    (problem,) = problems()
    assert problem.startswith("LM_MANAGEMENT_ALLOW")


def test_each_bad_item_of_a_list_is_named_by_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, NUMBERS="1,two,3,four")
    assert [problem.partition(":")[0] for problem in problems()] == ["LM_NUMBERS[1]", "LM_NUMBERS[3]"]


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("0", 0),
        ("1048576", 1048576),
        ("1MiB", 1048576),
        ("1 MiB", 1048576),
        ("1MB", 10**6),
        ("2kib", 2048),
        ("1GiB", 2**30),
    ],
)
def test_sizes_are_bytes_or_have_a_unit(monkeypatch: pytest.MonkeyPatch, value: str, size: int) -> None:
    put(monkeypatch, MAX_BODY_SIZE=value)
    assert Own.load().max_body_size == size


@pytest.mark.parametrize("value", ["-1", "lots", "1 parsec", "nan", "inf", "1e400", "", "1,5"])
def test_a_size_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    put(monkeypatch, MAX_BODY_SIZE=value)
    (problem,) = problems()
    assert problem.startswith("LM_MAX_BODY_SIZE:")


@pytest.mark.parametrize("level", ["debug", "DEBUG", "Debug"])
def test_a_level_may_be_in_any_case(monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    put(monkeypatch, LOG_LEVEL=level)
    assert Own.load().log_level == "DEBUG"


@pytest.mark.parametrize(
    "name", [each for each, value in DEFAULTS.items() if type(value) is int and "port" not in each]
)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "1e309"])
def test_no_number_may_be_negative_or_none_at_all(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    put(monkeypatch, **{name.upper(): value})
    (problem,) = problems()
    assert problem.startswith(f"LM_{name.upper()}:")


@pytest.mark.parametrize("name", ["startup_timeout", "liveness_stall", "head_timeout", "graphite_interval"])
def test_what_must_last_may_not_be_0(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    put(monkeypatch, **{name.upper(): "0"})
    assert problems()[0].startswith(f"LM_{name.upper()}:")


@pytest.mark.parametrize("name", ["drain_delay", "drain_quiet", "drain_timeout", "idle_grace", "request_timeout"])
def test_what_may_be_skipped_may_be_0(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    put(monkeypatch, **{name.upper(): "0"})
    assert getattr(Own.load(), name) == 0


@pytest.mark.parametrize("value", ["1", "65535", "0"])
def test_ports_go_from_0_to_65535(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    put(monkeypatch, PORT=value)
    assert Own.load().port == int(value)


@pytest.mark.parametrize("value", ["65536", "-1", "http", "80.5", "", "0x50"])
def test_any_other_port_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    put(monkeypatch, PORT=value)
    assert problems()[0].startswith("LM_PORT:")


@pytest.mark.parametrize("value", ["qa", "a", "team-7", "a" * 63])
def test_an_environment_is_a_dns_label(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    put(monkeypatch, ENVIRONMENT=value)
    assert Own.load().environment == value


@pytest.mark.parametrize("value", ["QA", "a.b", "-a", "a-", "a" * 64, "", "a b", "ä", "a\n", "qa\n"])
def test_any_other_environment_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    put(monkeypatch, ENVIRONMENT=value)
    assert problems()[0].startswith("LM_ENVIRONMENT:")


@pytest.mark.parametrize("value", ["[::1]", "::1"])
def test_an_ipv6_host_may_be_in_brackets(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    put(monkeypatch, HOST=value)
    assert Own.load().host == "::1"


def test_a_budget_that_just_fits_the_grace_is_taken() -> None:
    settings = Own.load(drain_delay_max=12, drain_timeout=30, cleanup_timeout=15, termination_grace_period=60)
    assert settings.termination_grace_period == 60


def test_a_budget_a_moment_longer_than_the_grace_is_refused_with_its_numbers() -> None:
    (problem,) = problems(drain_delay_max=12.5, drain_timeout=30, cleanup_timeout=15, termination_grace_period=60)
    assert all(number in problem for number in ("12.5", "30", "15", "3", "60", "60.5"))


def test_a_delay_above_its_maximum_counts_in_the_budget() -> None:
    (problem,) = problems(drain_delay=40)
    assert "LM_DRAIN_DELAY 40" in problem


def test_the_budget_is_held_against_what_the_environment_and_files_say(
    monkeypatch: pytest.MonkeyPatch, secrets: Path
) -> None:
    put(monkeypatch, DRAIN_TIMEOUT="30")
    (secrets / "lm_cleanup_timeout").write_text("13")
    (problem,) = problems()
    assert "61" in problem


def test_the_budget_of_a_class_with_defaults_of_its_own_is_held_too() -> None:
    class Patient(Settings):
        drain_timeout: float = 300

    (problem,) = problems(Patient)
    assert "LM_DRAIN_TIMEOUT 300" in problem


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


@pytest.mark.parametrize(
    ("annotation", "said"),
    [(int, "int"), (float | None, "float"), (list[str], "list of str"), (tuple[int, ...], "list of int")],
)
def test_a_type_is_named_as_a_person_would(annotation: Any, said: str) -> None:
    assert type_name(annotation) == said


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("graphite://carbon", ("carbon", 2003)),
        ("graphite://carbon.monitoring.svc:2013", ("carbon.monitoring.svc", 2013)),
        ("graphite://10.0.0.1:2003", ("10.0.0.1", 2003)),
        ("graphite://[::1]", ("::1", 2003)),
        ("graphite://[2001:db8::1]:65535", ("2001:db8::1", 65535)),
    ],
)
def test_a_graphite_url_has_a_host_and_perhaps_a_port(url: str, address: tuple[str, int]) -> None:
    assert graphite_address(Settings.load(graphite_url=url).graphite_url) == address


@pytest.mark.parametrize(
    "url",
    [
        *("carbon", "carbon:2003", "http://carbon", "graphite:carbon", "graphite://", "graphite://:2003"),
        *("graphite://carbon:", "graphite://carbon:0", "graphite://carbon:65536", "graphite://carbon:x"),
        *("graphite://carbon/", "graphite://carbon/a", "graphite://me:hunter2@carbon", "graphite://carbon?x=1"),
        *("graphite://::1", "graphite://[::1", "graphite://[::x]", "graphite://[1.2.3.4]", "graphite://car bon"),
    ],
)
def test_any_other_graphite_url_is_refused_by_its_name(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.load(graphite_url=url)
    assert "LM_GRAPHITE_URL" in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("prefix", ["", "services", "services.search.qa-1", "a_b.c"])
def test_a_graphite_prefix_is_words_with_dots_between(prefix: str) -> None:
    assert Settings.load(graphite_prefix=prefix).graphite_prefix == prefix


@pytest.mark.parametrize("prefix", [".", "a.", ".a", "a..b", "a b", "a;b=c", "a\nb", "ünï"])
def test_any_other_graphite_prefix_is_refused_by_its_name(prefix: str) -> None:
    with pytest.raises(SettingsError, match="LM_GRAPHITE_PREFIX"):
        Settings.load(graphite_prefix=prefix)


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
