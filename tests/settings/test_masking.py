from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from pydantic import AnyHttpUrl, BaseModel, PostgresDsn, SecretBytes, SecretStr

from lmservice.errors import MASK
from lmservice.settings.masking import masked, secret_name


class Colour(Enum):
    RED = "red"


class Model(BaseModel):
    inner: str = "hunter2"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("port", 8081, 8081),
        ("ratio", 0.5, 0.5),
        ("enabled", True, True),
        ("nothing", None, None),
        ("price", Decimal("1.50"), "1.50"),
        ("colour", Colour.RED, "red"),
        ("day", date(2013, 7, 4), "2013-07-04"),
        ("moment", datetime(2013, 7, 4, tzinfo=UTC), "2013-07-04 00:00:00+00:00"),
        ("span", timedelta(seconds=5), "0:00:05"),
        ("address", ip_address("::1"), "::1"),
        ("network", ip_network("10.0.0.0/8"), "10.0.0.0/8"),
        ("greeting", "good morning, world!", "good morning, world!"),
        ("folder", Path("/var/lib/flights"), "/var/lib/flights"),
        ("host", "search-service.qa.cluster.local", "search-service.qa.cluster.local"),
        ("supplier", "https://supplier:8443", "https://supplier:8443"),
        ("graphite_url", "graphite://host:2003", "graphite://host:2003"),
        ("suppliers", ["http://a", "http://b:81"], ["http://a", "http://b:81"]),
        ("limits", {"a": 1}, {"a": 1}),
        ("empty", "", ""),
        ("keep_alive_timeout", 100.0, 100.0),
        ("monkey", "chimp", "chimp"),
        ("author", "me", "me"),
    ],
)
def test_what_is_plainly_harmless_is_shown(name: str, value: Any, shown: Any) -> None:
    assert masked(name, value) == shown


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "db_passwd",
        "passphrase",
        "pwd",
        "token",
        "AUTH_TOKEN",
        "secret",
        "client_secret",
        "api_key",
        "apikey",
        "API-KEY",
        "private_key",
        "key",
        "keys",
        "credentials",
        "dsn",
        "sentry_dsn",
        "authorization",
        "cookie",
        "session",
        "signature",
        "salt",
        "otp",
        "auth",
        "bearer",
        "encryption-key",
        "accessKey",
    ],
)
def test_nothing_named_like_a_secret_is_shown_whatever_its_type(name: str) -> None:
    for value in ("hunter", 4321, True, ["hunter"], {"a": "hunter"}, 0.5, Path("/hunter")):
        assert masked(name, value) == MASK


@pytest.mark.parametrize(
    "value",
    [
        SecretStr("hunter"),
        SecretBytes(b"hunter"),
        b"hunter",
        Model(),
        object(),
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIifQ.c2lnbmF0dXJl",
        "550e8400-e29b-41d4-a716-446655440000",
        "0123456789abcdef0123456789abcdef",
        "Bearer abc123",
        "Basic bWU6aHVudGVyMg==",
        "Basic bWU6aHVudGVy",
        "host=db user=me password=hunter2",
        "Server=db;User=me;Password=hunter2",
        "me:hunter2@db:5432",
        "-----BEGIN PRIVATE KEY-----\nhunter\n-----END PRIVATE KEY-----",
        "/hunter?token=2",
        "hunter\x1b[2J",
        "line\nbreak",
        "http://[hunter",
    ],
)
def test_what_looks_like_a_secret_is_hidden_under_a_harmless_name(value: Any) -> None:
    assert masked("supplier", value) == MASK
    assert "hunter" not in str(masked("suppliers", [value]))
    assert "hunter" not in str(masked("suppliers", {"a": value}))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hunter@db:5432/flights", "postgresql://db:5432"),
        ("amqp://hunter@broker", "amqp://broker"),
        ("https://hooks.example/services/T0/B0/hunter", "https://hooks.example"),
        ("https://supplier/?key=hunter", "https://supplier"),
        ("https://supplier/#hunter", "https://supplier"),
        ("redis://:hunter@[::1]:6379/0", "redis://"),
        ("mongodb://me:hunter@a:1,b:2/db", ""),
        ("https://me:hunter@2@supplier/", "https://supplier"),
        ("sqlite:///file.db?key=hunter", "sqlite://"),
        ("see https://me:hunter@supplier/", ""),
        ("https://a/ https://me:hunter@b/", ""),
        ("jdbc:postgresql://db/flights?user=me&password=hunter", ""),
    ],
)
def test_of_a_url_at_most_scheme_host_and_port_are_shown(url: str, shown: str) -> None:
    text = str(masked("supplier", url))
    assert "hunter" not in text
    assert text.startswith(shown)
    assert MASK in text


def test_a_secret_inside_a_mapping_is_hidden_and_its_neighbours_are_shown() -> None:
    shown = masked("account", {"user": "me", "password": "hunter", "inner": {"token": 5, "port": 1}})
    assert shown == {"user": "me", "password": MASK, "inner": {"token": MASK, "port": 1}}


@pytest.mark.parametrize(
    "annotation", [SecretStr, SecretStr | None, list[SecretStr], dict[str, SecretStr], SecretBytes]
)
def test_a_secret_by_its_annotation_is_hidden_whatever_the_value(annotation: Any) -> None:
    assert masked("login", "hunter", annotation) == MASK


def test_whether_a_secret_is_set_may_be_seen() -> None:
    assert [masked("token", value) for value in (None, "", ())] == [None, "", []]


@pytest.mark.parametrize("name", ["password", "X-Api-Key", "Authorization", "Set-Cookie", "refresh_token"])
def test_names_of_secrets_are_known(name: str) -> None:
    assert secret_name(name)


@pytest.mark.parametrize("name", ["method", "route", "path", "status", "duration", "monkey", "keyboard", "passenger"])
def test_names_of_anything_else_are_not(name: str) -> None:
    assert not secret_name(name)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (AnyHttpUrl("http://supplier.intra:9000"), "http://supplier.intra:9000/"),
        (AnyHttpUrl("https://user:hunter2@supplier.intra/path"), f"https://supplier.intra/{MASK}"),
        (PostgresDsn("postgresql://user:hunter2@a.intra:5432/shop"), f"postgresql://a.intra:5432/{MASK}"),
    ],
)
def test_pydantics_urls_are_shown_as_other_urls_are(url: object, shown: str) -> None:
    assert masked("supplier", url) == shown
