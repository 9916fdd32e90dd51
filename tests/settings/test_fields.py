"""The kinds of values: what each takes, refuses, and how it is named."""

from typing import Any

import pytest
from settings.conftest import DEFAULTS, Own, problems, put

from lmservice import Settings
from lmservice.errors import SettingsError
from lmservice.settings.fields import graphite_address, type_name


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
