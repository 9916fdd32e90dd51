import pytest
from search_service.parameters import NotAllowedError, Parameters, read_limit
from starlette.datastructures import QueryParams


def read_number(value: str) -> int:
    if not value.isdigit():
        raise NotAllowedError("is no number", "digits")
    return int(value)


def read(query: str) -> tuple[int | None, int, list[tuple[str, str | None]]]:
    parameters = Parameters(QueryParams(query), ("first", "second"))
    values = parameters.required("first", read_number, "digits"), parameters.optional("second", read_number, 7)
    return *values, [(problem.parameter, problem.value) for problem in parameters.problems]


def test_good_parameters_are_read_and_missing_optional_ones_have_their_default() -> None:
    assert read("first=1") == (1, 7, [])
    assert read("second=2&first=1") == (1, 2, [])


def test_every_bad_parameter_is_told_at_once() -> None:
    assert read("second=b&third=3") == (None, 7, [("third", "3"), ("first", None), ("second", "b")])


def test_a_repeated_parameter_is_refused_with_all_its_values() -> None:
    assert read("first=1&first=2") == (None, 7, [("first", "1, 2")])


def test_an_unknown_parameter_is_refused_with_the_nearest_right_one() -> None:
    parameters = Parameters(QueryParams("Secnd=2"), ("first", "second"))
    assert [str(problem) for problem in parameters.problems] == [
        "Secnd '2' is no parameter here; perhaps second is meant: allowed is first, second"
    ]


def test_a_long_value_is_not_repeated_in_full() -> None:
    parameters = Parameters(QueryParams("first=" + "x" * 5000), ("first",))
    parameters.required("first", read_number, "digits")
    assert parameters.problems[0].value == "x" * 100 + "…"


@pytest.mark.parametrize(("value", "limit"), [("1", 1), ("20", 20), ("100", 100), ("007", 7)])
def test_a_limit_is_a_whole_number_from_1_to_100(value: str, limit: int) -> None:
    assert read_limit(value) == limit


@pytest.mark.parametrize(
    "value", ["", "0", "101", "-1", "+5", "1.0", "1e1", " 5", "\N{ARABIC-INDIC DIGIT FIVE}", "²", "ten", "9" * 5000]
)
def test_any_other_limit_is_refused(value: str) -> None:
    with pytest.raises(NotAllowedError):
        read_limit(value)
