"""What holds for any value: a line gives back what it was made of, a label's values are bounded, a rendering parses."""

import json
import string

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from lmservice.errors import MASK
from lmservice.telemetry.exposition import render
from lmservice.telemetry.labels import LIMIT, OTHER, Label
from lmservice.telemetry.logs import json_line
from lmservice.telemetry.masking import without_secrets

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
PLAIN_NAMES = st.text(string.ascii_lowercase[10:15], min_size=1, max_size=8)  # k to o: no word for a secret among them


@given(st.dictionaries(TEXT, VALUES, max_size=6))
def test_a_line_is_one_line_and_gives_back_the_event(event: dict[str, object]) -> None:
    line = json_line(event).decode()
    assert line.splitlines() == [line[:-1]]
    assert json.loads(line) == event


@given(VALUES, st.lists(PLAIN_NAMES, max_size=3))
def test_a_secret_is_masked_however_deep_it_lies(secret: object, path: list[str]) -> None:
    value: object = {"password": secret}
    for name in path:
        value = {name: [value]}
    shown = without_secrets("value", value)
    for name in reversed(path):
        assert isinstance(shown, dict)
        (shown,) = shown[name]
    assert shown == {"password": MASK}


@given(st.dictionaries(PLAIN_NAMES, st.integers() | PLAIN_NAMES | st.lists(st.integers(), max_size=4), max_size=4))
def test_what_is_no_secret_is_shown_as_it_is(value: dict[str, object]) -> None:
    assert without_secrets("value", value) == value


@given(st.lists(TEXT, max_size=3 * LIMIT))
def test_a_label_takes_its_first_values_as_they_are_and_folds_the_rest(values: list[str]) -> None:
    label = Label("host", "hosts")
    first = list(dict.fromkeys(values))[:LIMIT]
    assert [label.value(each) for each in values] == [each if each in first else OTHER for each in values]


@given(st.dictionaries(TEXT.filter(lambda text: "\r" not in text), st.integers(1, 100), max_size=8))
def test_a_rendering_read_back_has_the_label_values_that_were_counted(counts: dict[str, int]) -> None:
    registry = CollectorRegistry()
    counter = Counter("calls", "Calls.", ("host",), registry=registry)
    for host, count in counts.items():
        counter.labels(host).inc(count)
    text = b"".join(render(registry, "text/plain", packed=False)[0]).decode()
    families = text_string_to_metric_families(text)
    found = {s.labels["host"]: s.value for f in families for s in f.samples if s.name == "calls_total"}
    assert found == counts
