import dataclasses
from typing import Any

import pytest

from lmservice import Client, ClientPolicy, LmserviceError


def test_the_defaults_are_the_contracts() -> None:
    assert dataclasses.asdict(ClientPolicy()) == {
        "timeout": 2,
        "deadline": 5,
        "attempts": 3,
        "backoff_initial": 0.1,
        "backoff_max": 2,
        "retry_statuses": {502, 503, 504},
        "retry_methods": {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"},
        "budget_ratio": 0.2,
        "budget_floor": 10,
        "breaker_failure_ratio": 0.5,
        "breaker_minimum_calls": 10,
        "breaker_window": 10,
        "breaker_open": 10,
    }


@pytest.mark.parametrize(
    ("field", "value", "limit"),
    [
        ("timeout", 0, "more than 0"),
        ("timeout", -1, "not below 0"),
        ("timeout", None, "a number"),
        ("timeout", True, "a number"),
        ("deadline", float("nan"), "finite"),
        ("deadline", float("inf"), "finite"),
        ("attempts", 0, "at least 1"),
        ("attempts", 2.5, "a whole number"),
        ("backoff_initial", -0.1, "not below 0"),
        ("backoff_max", "2", "a number"),
        ("retry_statuses", {99}, "from 100 to 599"),
        ("retry_statuses", {"503"}, "int"),
        ("retry_statuses", 503, "a set"),
        ("retry_methods", "GET", "a set"),
        ("retry_methods", {1}, "str"),
        ("budget_ratio", -1, "not below 0"),
        ("budget_floor", -1, "not below 0"),
        ("breaker_failure_ratio", 0, "at most 1"),
        ("breaker_failure_ratio", 1.1, "at most 1"),
        ("breaker_minimum_calls", 0, "at least 1"),
        ("breaker_window", 0, "more than 0"),
        ("breaker_open", 0, "more than 0"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_field_value_and_limit(field: str, value: Any, limit: str) -> None:
    with pytest.raises(LmserviceError) as caught:
        ClientPolicy(**{field: value})
    assert isinstance(caught.value, ValueError)
    said = str(caught.value)
    assert f"ClientPolicy.{field} is " in said
    assert repr(next(iter(value)) if isinstance(value, set) else value) in said
    assert limit in said


def test_a_policy_is_frozen() -> None:
    policy = ClientPolicy(retry_methods=["get", "post"], retry_statuses=[503])
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.timeout = 3  # type: ignore[misc]
    assert policy.retry_methods == frozenset(("GET", "POST"))
    assert hash(policy) == hash(ClientPolicy(retry_methods={"POST", "GET"}, retry_statuses=(503,)))


@pytest.mark.parametrize("url", ["", "/v1", "api.example", "ftp://api.example", "http://", 7])
def test_a_base_url_that_is_none_is_refused(url: Any) -> None:
    with pytest.raises(LmserviceError, match="base_url"):
        Client(url)


def test_a_policy_that_is_none_is_refused() -> None:
    with pytest.raises(LmserviceError, match="ClientPolicy"):
        Client("http://api.example", policy={"timeout": 1})  # type: ignore[arg-type]
