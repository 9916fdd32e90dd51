"""What a log line shows of a value, whatever kind of object it is."""

import dataclasses
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import structlog
from pydantic import BaseModel, Field, RootModel, SecretStr, field_serializer
from pydantic.dataclasses import dataclass as pydantic_dataclass

from lmservice import Settings
from lmservice.errors import MASK
from lmservice.telemetry.masking import DEEPEST, without_secrets
from lmservice.telemetry.takeover import configured

SECRET = "hunter2-clear"


class Login(BaseModel):
    user: str = "ann"
    password: str = SECRET


class Cautious(BaseModel):
    card: str = Field(SECRET, repr=False)
    left_out: str = Field(SECRET, exclude=True)
    key: SecretStr = SecretStr(SECRET)


class Shortened(BaseModel):
    iban: str = SECRET

    @field_serializer("iban")
    def _short(self, value: str) -> str:
        return value[:4]


@dataclasses.dataclass
class Account:
    user: str = "ann"
    token: str = SECRET
    card: str = dataclasses.field(default=SECRET, repr=False)
    login: Login = dataclasses.field(default_factory=Login)


class Pair(NamedTuple):
    user: str = "ann"
    password: str = SECRET


class Broken:
    __dataclass_fields__ = 1


VALUES: dict[str, tuple[Any, Any]] = {
    "a model": (Login(), {"user": "ann", "password": MASK}),
    "a model's own cautions": (Cautious(), {"card": MASK, "key": "**********"}),
    "a model's own serializer": (Shortened(), {"iban": "hunt"}),
    "a root model": (RootModel[list[Login]]([Login()]), {"root": [{"user": "ann", "password": MASK}]}),
    "a dataclass with a model": (
        Account(),
        {"user": "ann", "token": MASK, "card": MASK, "login": {"user": "ann", "password": MASK}},
    ),
    "a named tuple": (Pair(), ["ann", MASK]),
    "a set of pairs": ({("authorization", SECRET)}, [["authorization", MASK]]),
    "a frozen set of named tuples": (frozenset([Pair()]), [["ann", MASK]]),
    "a deque": (deque([Login()]), [{"user": "ann", "password": MASK}]),
    "the items of a dictionary": ({"password": SECRET}.items(), [["password", MASK]]),
    "a namespace": (SimpleNamespace(password=SECRET, user="ann"), {"password": MASK, "user": "ann"}),
    "a list of headers": ([(b"cookie", SECRET.encode())], [["cookie", MASK]]),
    "deep down": ({"a": [{"b": (Login(),)}]}, {"a": [{"b": [{"user": "ann", "password": MASK}]}]}),
    "no secret": ({"user": ["ann", 1, None, 1.5, True]}, {"user": ["ann", 1, None, 1.5, True]}),
    "a class that is broken": (Broken(), {"Broken": "…"}),
}


@pydantic_dataclass(slots=True)
class Slotted:
    password: str = SECRET


class Changing(dict[str, str]):
    def items(self) -> Any:
        raise RuntimeError("dictionary changed size during iteration")


@dataclasses.dataclass
class Node:
    name: str
    parent: "Node | None" = None
    children: "list[Node]" = dataclasses.field(default_factory=list)
    token: str = SECRET


def deep() -> Any:
    value: Any = {"password": SECRET}
    for _ in range(DEEPEST + 2):
        value = [value]
    return value


@pytest.fixture(autouse=True)
def _stream() -> Iterator[None]:
    with configured(Settings.load(log_format="json", log_level="DEBUG"), "shop", "1.2.3"):
        yield


@pytest.mark.parametrize("kind", VALUES)
def test_secrets_are_masked_in_whatever_they_lie(logged: Any, kind: str) -> None:
    value, shown = VALUES[kind]
    logging.getLogger("app").info("done", extra={"value": value})
    structlog.get_logger("app").info("done", value=value)
    assert [line["value"] for line in logged()] == [shown, shown]


@pytest.mark.parametrize("value", [Login(), Account(), Pair(), {"password": SECRET}, [Login()]])
def test_a_message_shows_no_secret_of_its_arguments(logged: Any, value: Any) -> None:
    logging.getLogger("app").info("login of %s: %s", "ann", value)
    structlog.get_logger("app").info("login of %s: %s", "ann", value)
    logging.getLogger("app").info("%(user)s with %(password)s", {"user": "ann", "password": SECRET})
    lines = logged()
    assert SECRET not in json.dumps(lines)
    assert [line["event"][:12] for line in lines] == ["login of ann", "login of ann", "ann with ***"]


def test_an_argument_without_a_secret_is_formatted_as_ever(logged: Any) -> None:
    logging.getLogger("app").info("%r %s %d %.1f", ("a", 1), {"b": 2}, 3, 4.0)
    assert logged()[0]["event"] == "('a', 1) {'b': 2} 3 4.0"


@pytest.mark.parametrize("value", [deep(), Slotted(), Changing(password=SECRET)])
def test_an_argument_that_cannot_be_looked_into_is_not_shown(logged: Any, value: Any) -> None:
    logging.getLogger("app").info("%s %s", "ann", value, extra={"value": value})
    structlog.get_logger("app").info("%s %s", "ann", value, value=value)
    assert len(logged()) == 2
    assert SECRET not in json.dumps(logged())


@pytest.mark.parametrize("value", [Login(), Account(), {"password": SECRET}, [Login()]])
def test_a_message_that_is_no_text_shows_no_secret(logged: Any, value: Any) -> None:
    logging.getLogger("app").info(value)
    structlog.get_logger("app").info(value)
    assert [SECRET in line["event"] for line in logged()] == [False, False]
    assert all(MASK in line["event"] for line in logged())


def test_a_value_that_holds_itself_is_shown_once() -> None:
    root = Node("root")
    root.children = [Node(str(number), root) for number in range(3)]
    child = {"parent": "...", "children": [], "token": MASK}
    shown = [{"name": str(number), **child} for number in range(3)]
    assert without_secrets("", root) == {"name": "root", "parent": None, "children": shown, "token": MASK}


def test_what_is_shown_of_a_web_of_values_has_an_end() -> None:
    people: list[Node] = [Node(str(number)) for number in range(20)]
    for each in people:
        each.children = people
    text = json.dumps(without_secrets("", people))
    assert len(text) < 2_000_000
    assert SECRET not in text


def test_a_logger_that_was_bound_while_a_service_ran_can_be_used_when_none_does(logged: Any) -> None:
    with configured(Settings.load(log_format="json"), "other", "1"):
        bound = structlog.get_logger("app").bind(number=1)
    bound.error("late")
    assert [line["event"] for line in logged()] == ["late"]


async def asynchronous() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("nested", [False, True])
def test_what_is_lazy_is_described_and_not_consumed(logged: Any, *, nested: bool) -> None:
    lazy: list[Any] = [(each for each in (1, 2)), iter([1, 2]), map(str, (1, 2)), zip((1, 2), (3, 4), strict=True)]
    for value in lazy:
        logging.getLogger("app").info("lazy", extra={"value": {"deep": [value]} if nested else value})
        structlog.get_logger("app").debug("lazy %s", value, value=[value] if nested else value)
    logging.getLogger("app").info("lazy", extra={"value": asynchronous()})
    assert [len(list(each)) for each in lazy] == [2, 2, 2, 2]
    assert all("object at 0x" in json.dumps(line["value"]) for line in logged())


def test_what_is_named_like_a_field_of_the_line_is_kept_under_a_name_that_says_so(logged: Any) -> None:
    given = {"version": "7", "service": "other", "level": 3, "environment": "moon", "instance": "x", "timestamp": 0}
    logging.getLogger("app").info("done", extra=given)
    structlog.get_logger("app").info("done", **given)
    for line in logged():
        assert (line["version"], line["service"], line["level"]) == ("1.2.3", "shop", "info")
        assert {name: line[f"given_{name}"] for name in given} == given


def test_an_exception_of_the_callers_own_words_stands_beside_the_traceback(logged: Any) -> None:
    try:
        int("boom")
    except ValueError:
        logging.getLogger("app").exception("failed", extra={"exception": "mine", "stack": "of cards"})
    (line,) = logged()
    assert "ValueError: invalid" in line["exception"]
    assert (line["given_exception"], line["stack"]) == ("mine", "of cards")
