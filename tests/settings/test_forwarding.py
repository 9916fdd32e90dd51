"""Which proxies are believed, and which of their headers."""

import pytest

from lmservice import Settings
from lmservice.errors import SettingsError
from lmservice.settings.forwarding import networks_of
from lmservice.settings.model import origin


def load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


def networks(settings: Settings) -> list[str]:
    return [str(network) for network in settings.forwarded_allow]


def problem(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(monkeypatch, **variables)
    (line,) = caught.value.problems
    return line


def test_uvicorns_variable_is_read_where_ours_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, FORWARDED_ALLOW_IPS="10.0.0.0/8, 192.168.1.7,::1")
    assert networks(settings) == ["10.0.0.0/8", "192.168.1.7/32", "::1/128"]
    assert origin(settings, "forwarded_allow") == "FORWARDED_ALLOW_IPS"


def test_ours_stands_above_uvicorns(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, FORWARDED_ALLOW_IPS="*", LM_FORWARDED_ALLOW="10.0.0.0/8")
    assert networks(settings) == ["10.0.0.0/8"]
    assert origin(settings, "forwarded_allow") == "environment"


def test_uvicorns_star_is_every_network(monkeypatch: pytest.MonkeyPatch) -> None:
    assert networks(load(monkeypatch, FORWARDED_ALLOW_IPS="*")) == ["0.0.0.0/0", "::/0"]


def test_uvicorns_empty_list_believes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    assert networks(load(monkeypatch, FORWARDED_ALLOW_IPS="")) == []


def test_what_is_no_address_in_uvicorns_list_is_left_out() -> None:
    assert networks_of("10.0.0.1,traefik,10.1.2.3/8,*") == (["10.0.0.1/32"], ["traefik", "10.1.2.3/8", "*"])


def test_the_variables_of_another_environment_are_read_alike() -> None:
    assert networks(Settings.load_from({"FORWARDED_ALLOW_IPS": "10.0.0.0/8"})) == ["10.0.0.0/8"]


@pytest.mark.parametrize("headers", ["for", "for,proto,host,port,prefix", "forwarded", "FOR,Proto", '["for"]'])
def test_headers_that_go_together_are_taken(monkeypatch: pytest.MonkeyPatch, headers: str) -> None:
    found = load(monkeypatch, LM_FORWARDED_HEADERS=headers).forwarded_headers
    assert list(found) == [name.lower() for name in headers.strip('[]"').split(",")]


def test_no_headers_are_a_list_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, LM_FORWARDED_HEADERS="").forwarded_headers == ()


def test_forwarded_excludes_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    line = problem(monkeypatch, LM_FORWARDED_HEADERS="forwarded,for")
    assert line.startswith("LM_FORWARDED_HEADERS: ")
    assert "RFC 7239" in line


def test_a_header_that_is_none_is_named_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    line = problem(monkeypatch, LM_FORWARDED_HEADERS="for,server")
    assert line.startswith("LM_FORWARDED_HEADERS[1]: 'server'")
    assert "'prefix'" in line


@pytest.mark.parametrize(("written", "path"), [("", ""), ("/", ""), ("/shop", "/shop"), ("/shop/eu/", "/shop/eu")])
def test_a_root_path_is_taken_without_its_last_slash(monkeypatch: pytest.MonkeyPatch, written: str, path: str) -> None:
    assert load(monkeypatch, LM_ROOT_PATH=written).root_path == path


@pytest.mark.parametrize("written", ["shop", "//evil", "/a b", "https://example.org", "/a?b"])
def test_a_root_path_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    assert problem(monkeypatch, LM_ROOT_PATH=written).startswith("LM_ROOT_PATH: ")
