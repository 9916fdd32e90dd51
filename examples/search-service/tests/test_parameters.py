from dataclasses import dataclass
from datetime import time
from types import SimpleNamespace
from typing import Annotated

import pytest
from pydantic import BeforeValidator, Field
from search_service.parameters import LIMIT, Amount, CarrierCode, Clock, Limit, NotAllowedError, Parameters
from search_service.problems import InvalidParametersError, ParameterProblem
from starlette.datastructures import QueryParams


def read_number(value: str) -> int:
    if not value.isdigit():
        raise NotAllowedError("is no number", "digits")
    return int(value)


Number = Annotated[int, BeforeValidator(read_number), Field(description="digits")]


@dataclass(frozen=True)
class Numbers:
    first: Number
    second: Number = 7


@dataclass(frozen=True)
class Kinds:
    limit: Limit = 20
    clock: Annotated[Clock | None, Field(description="a time")] = None
    amount: Annotated[Amount | None, Field(description="an amount")] = None
    carrier: Annotated[CarrierCode | None, Field(description="a carrier")] = None


NUMBERS = Parameters(Numbers)
KINDS = Parameters(Kinds)


def problems(query: str) -> list[ParameterProblem]:
    with pytest.raises(InvalidParametersError) as caught:
        NUMBERS.read(QueryParams(query), SimpleNamespace())
    return list(caught.value.problems)


def kinds(**query: str) -> Kinds:
    return KINDS.read(QueryParams(query), SimpleNamespace())


def test_good_parameters_are_read_and_missing_optional_ones_have_their_default() -> None:
    assert NUMBERS.read(QueryParams("first=1"), None) == Numbers(1)
    assert NUMBERS.read(QueryParams("second=2&first=1"), None) == Numbers(1, 2)


def test_every_bad_parameter_is_told_at_once() -> None:
    assert problems("second=b&third=3") == [
        ParameterProblem("third", "3", "is no parameter here", "first, second"),
        ParameterProblem("first", None, "is missing", "digits"),
        ParameterProblem("second", "b", "is no number", "digits"),
    ]


def test_a_repeated_parameter_is_refused_with_all_its_values() -> None:
    assert problems("first=1&first=2") == [ParameterProblem("first", "1, 2", "is given 2 times", "one value")]


def test_an_unknown_parameter_is_refused_with_the_nearest_right_one() -> None:
    assert [str(problem) for problem in problems("first=1&Secnd=2")] == [
        "Secnd '2' is no parameter here; perhaps second is meant: allowed is first, second"
    ]


def test_long_names_and_values_are_not_repeated_in_full() -> None:
    found = problems("first=" + "x" * 5000 + "&" + "y" * 5000)
    assert [problem.value for problem in found] == ["", "x" * 100 + "…"]
    assert found[0].parameter == "y" * 100 + "…"


@pytest.mark.parametrize(("value", "limit"), [("1", 1), ("20", 20), ("100", 100), ("007", 7)])
def test_a_limit_is_a_whole_number_from_1_to_100(value: str, limit: int) -> None:
    assert kinds(limit=value).limit == limit


@pytest.mark.parametrize(
    "value", ["", "0", "101", "-1", "+5", "1.0", "1e1", " 5", "\N{ARABIC-INDIC DIGIT FIVE}", "²", "ten", "9" * 5000]
)
def test_any_other_limit_is_refused(value: str) -> None:
    with pytest.raises(InvalidParametersError, match=LIMIT):
        kinds(limit=value)


def test_times_amounts_and_carriers_are_read() -> None:
    assert kinds(clock="09:05", amount="199.9", carrier="b6") == Kinds(20, time(9, 5), 199.9, "B6")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("clock", value)
            for value in ("", "9:05", "24:00", "09:60", "09:05:00", "09:05\n", "0905", "\u0660\u0669:05")
        ),
        *(("amount", value) for value in ("", "-1", "1.234", "1e3", "nan", ".5", "1.", "5 ", "5\n", "9" * 10)),
        *(("carrier", value) for value in ("", "A", "AAL", "A-", "ÅA", "AA\n")),
    ],
)
def test_any_other_time_amount_and_carrier_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidParametersError) as caught:
        kinds(**{name: value})
    assert [(problem.parameter, problem.value) for problem in caught.value.problems] == [(name, value)]
