"""How a sample is written for Graphite."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.samples import Sample

from lmservice.telemetry.graphite_lines import LONGEST, GraphiteLines

FIELDS = {"service": "shop", "environment": "qa", "instance": "pod.1", "version": "1"}


def lines(*, prefix: str = "", tags: bool = True) -> GraphiteLines:
    return GraphiteLines(prefix, tags=tags, fields=FIELDS)


def name(writer: GraphiteLines, **labels: str) -> str:
    return writer.line(Sample("calls", labels, 1.5), 7).split(" ")[0]


def test_a_line_is_name_value_and_time() -> None:
    assert lines().line(Sample("calls_total", {}, 2), 1700000000).endswith(" 2.0 1700000000\n")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "calls;environment=qa;instance=pod_1;route=_a__b_;service=shop"),
        ({"prefix": "a.b"}, "a.b.calls;environment=qa;instance=pod_1;route=_a__b_;service=shop"),
        ({"tags": False}, "shop.qa.pod_1.calls.route._a__b_"),
        ({"tags": False, "prefix": "a.b"}, "a.b.calls.route._a__b_"),
    ],
)
def test_a_name_says_of_which_instance_it_is(options: Any, expected: str) -> None:
    assert name(lines(**options), route="/a/{b}") == expected


def test_a_label_of_the_samples_own_stands_above_the_services() -> None:
    assert name(lines(), service="other") == "calls;environment=qa;instance=pod_1;service=other"


@pytest.mark.parametrize(
    ("bound", "tag", "node"), [("0.005", "0.005", "0_005"), ("+Inf", "Inf", "Inf"), ("1e-05", "1e-05", "1e-05")]
)
def test_a_bound_is_a_number(bound: str, tag: str, node: str) -> None:
    assert f";le={tag};" in name(lines(), le=bound)
    assert float(tag) > 0
    assert name(lines(tags=False), le=bound).endswith(f".le.{node}")


def test_what_is_no_number_is_no_bound() -> None:
    assert ";le=a_b_c;" in name(lines(), le="a b;c")


def test_values_that_differ_in_punctuation_alone_have_names_of_their_own_and_are_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    writer = lines()
    routes = ["/search/flights", "/search_flights", "/search.flights"]
    for _ in range(3):
        found = [name(writer, route=route) for route in routes]
    assert len(set(found)) == 3
    assert [name(writer, route=route) for route in routes] == found
    (record,) = caplog.records
    assert (record.getMessage(), vars(record)["label"]) == ("lmservice.graphite_names_collide", "route")


@given(st.lists(st.text(max_size=5), min_size=2, unique=True), st.booleans())
def test_no_two_values_have_one_name_once_both_are_known(values: list[str], tags: bool) -> None:  # noqa: FBT001
    writer = lines(tags=tags)
    for value in values:
        name(writer, label=value)
    written = [name(writer, label=value) for value in values]
    assert len(set(written)) == len(values)
    assert all(each.isascii() and each.count(" ") == 0 and len(each.splitlines()) == 1 for each in written)


@pytest.mark.parametrize("tags", [True, False])
def test_a_line_that_carbon_does_not_take_is_left_out(caplog: pytest.LogCaptureFixture, *, tags: bool) -> None:
    writer = lines(tags=tags)
    assert writer.line(Sample("calls", {"a": "x" * LONGEST}, 1), 7) == ""
    assert writer.line(Sample("calls", {"a": "y" * LONGEST}, 1), 7) == ""
    assert writer.line(Sample("calls", {"a": "x"}, 1), 7) != ""
    assert [record.getMessage() for record in caplog.records] == ["lmservice.graphite_line_too_long"]
