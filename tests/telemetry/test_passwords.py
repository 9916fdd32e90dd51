"""No line of the log shows the password of a URL, wherever in it that stands."""

import json
import logging
from typing import Any

import hypothesis
import pytest
import structlog
from hypothesis import strategies as st
from pydantic import AnyUrl

from lmservice import Settings
from lmservice.errors import MASK, StartError, one_line, without_passwords
from lmservice.telemetry.takeover import configured

URL = "postgresql+asyncpg://shop:geheim@db.intra:5432/shop"
SHOWN = f"postgresql+asyncpg://shop:{MASK}@db.intra:5432/shop"


class DriverError(Exception):
    """What a library says of where it connected to."""


def fail() -> None:
    raise DriverError(f"no connection to {URL}")


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_password_is_shown_neither_in_messages_nor_values_nor_tracebacks(capsys: Any, form: Any) -> None:
    with configured(Settings(log_format=form), "urls", ""):
        logging.getLogger("shop").info("connecting to %s", URL)
        logging.getLogger("shop").info("values", extra={"where": URL, "nested": {"list": [URL]}, "url": AnyUrl(URL)})
        logging.getLogger("shop").info("object", extra={"cause": DriverError(URL)})
        structlog.get_logger("shop").info(f"at {URL}", dsn_of=URL)
        try:
            fail()
        except DriverError:
            logging.getLogger("shop").exception("failed")
    said = capsys.readouterr().out
    assert "geheim" not in said
    assert said.count(f"shop:{MASK}@db.intra") == 7


def test_what_is_masked_leaves_the_line_as_json(capsys: Any) -> None:
    with configured(Settings(log_format="json"), "urls", ""):
        logging.getLogger("shop").info(
            "a", extra={"first": 'amqp://u:p"q\\r@h', "then": "plain", "mail": "a@b.example"}
        )
    line = json.loads(capsys.readouterr().out)
    assert line["first"] == f"amqp://u:{MASK}@h"
    assert (line["then"], line["mail"]) == ("plain", "a@b.example")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (URL, SHOWN),
        (f"({URL}, {URL})", f"({SHOWN}, {SHOWN})"),
        (f"{URL},{URL}", f"{SHOWN},{SHOWN}"),
        ("redis://:geheim@cache", f"redis://:{MASK}@cache"),
        ("amqp://u:p@ss/w?rd@h", f"amqp://u:{MASK}@h"),
        ("http://localhost:8081/x?mail=ann@example.com", "http://localhost:8081/x?mail=ann@example.com"),
        ("http://[::1]:8002/ann@example.com", "http://[::1]:8002/ann@example.com"),
        ("ssh://git@host:22/x", "ssh://git@host:22/x"),
        ("http://a:1 and ann@example.com", "http://a:1 and ann@example.com"),
    ],
)
def test_only_what_is_a_password_is_masked(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


@hypothesis.given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"], exclude_characters='\\"'), min_size=6)
)
def test_no_password_without_spaces_is_shown(password: str) -> None:
    hypothesis.assume("://" not in password and not password[:6].rstrip("/?#").isdigit())
    assert without_passwords(f"dsn: scheme://user:{password}@host/x") == f"dsn: scheme://user:{MASK}@host/x"


def test_errors_in_one_line_and_failed_starts_show_none_either() -> None:
    assert one_line(DriverError(URL)) == f"DriverError: {SHOWN}"
    assert str(StartError(f"no {URL}")) == f"no {SHOWN}"
