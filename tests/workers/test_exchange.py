"""What one side writes, the other reads as it was, whatever it is: counts of connections, families of metrics."""

import math
import os

from hypothesis import given
from hypothesis import strategies as st

from lmservice.workers import snapshot
from lmservice.workers.connection_counts import AHEAD, ConnectionCounts
from lmservice.workers.snapshot import Family
from lmservice.workers.totals import merged

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
NUMBERS = st.floats(allow_nan=False)
EXEMPLARS = st.none() | st.just([{"trace_id": "1"}, 1.0, 2.0])
SAMPLES = st.lists(
    st.tuples(NAMES, st.dictionaries(NAMES, TEXT, max_size=3), NUMBERS, EXEMPLARS),
    max_size=5,
)
FAMILIES = st.builds(
    Family, NAMES, TEXT, st.sampled_from(["counter", "gauge"]), st.just(""), st.just(""), st.booleans(), SAMPLES
)


@given(st.lists(FAMILIES, max_size=4))
def test_a_family_is_read_as_it_was_written_whatever_its_labels_and_numbers(families: list[Family]) -> None:
    lines = list(snapshot.lines(b"".join(snapshot.written(family) for family in families)))
    assert [name for name, _ in lines] == [family.name for family in families]
    for family, (_, line) in zip(families, lines, strict=True):
        read = snapshot.read(line)
        assert read._replace(samples=[]) == family._replace(samples=[])
        assert [tuple(sample) for sample in read.samples] == [tuple(sample) for sample in family.samples]


@given(FAMILIES)
def test_a_family_of_one_worker_alone_is_merged_into_its_own_sums(family: Family) -> None:
    sums: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for name, labels, value, _ in family.samples:
        if name.endswith("_created"):
            return
        key = name, frozenset(labels.items())
        sums[key] = sums.get(key, 0) + value
    found = {(name, frozenset(labels.items())): value for name, labels, value, _ in merged([family]).samples}
    assert found.keys() == sums.keys()
    for key, value in found.items():
        assert value == sums[key] or (math.isnan(value) and math.isnan(sums[key]))


@given(st.integers(1, 8).flatmap(lambda workers: st.tuples(
    st.just(workers), st.lists(st.tuples(st.integers(1, workers), st.none() | st.integers(0, 10_000)), max_size=30)
)))  # fmt: skip
def test_a_worker_lets_others_go_first_where_one_that_takes_connections_has_fewer(
    case: tuple[int, list[tuple[int, int | None]]],
) -> None:
    workers, steps = case
    counts = ConnectionCounts.create(workers)
    known: dict[int, int] = {}
    for worker, connections in steps:
        if connections is None:
            counts.leave(worker)
            known.pop(worker, None)
        else:
            known[worker] = connections
            assert counts.ahead(worker, connections) == (connections > min(known.values()) + AHEAD)
    os.close(counts.descriptor)
