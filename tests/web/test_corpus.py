"""What a parser of HTTP/1.1 gets wrong: framing, smuggling, targets, versions, by RFC 9112."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire import Wire, in_parts
from wire_corpus import BROKEN_BODIES, REFUSED, SERVED, Case

pytestmark = pytest.mark.anyio
HOWEVER_CUT = [case for case in (*SERVED, *REFUSED, *BROKEN_BODIES) if 501 not in case.statuses or b"POST" in case.data]
"""All but the methods that nobody knows: one that is cut in its middle is no method, so that it gets 400."""


@pytest.mark.parametrize("case", SERVED, ids=lambda case: case.name)
async def test_what_the_rfc_allows_is_served(case: Case) -> None:
    wire = Wire()
    await wire.feed(case.data)
    await wire.settle()
    assert wire.statuses == list(case.statuses)
    assert [seen[-1] for seen in wire.seen] == list(case.bodies)
    assert wire.failures == []
    await wire.close()


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
async def test_what_it_forbids_is_refused_and_ends_the_connection(case: Case) -> None:
    wire = Wire()
    await wire.feed(case.data)
    await wire.settle()
    assert wire.statuses == list(case.statuses)
    assert wire.seen == []
    assert wire.transport.ended
    assert b"\r\ncontent-type: application/problem+json\r\n" in wire.transport.written
    assert b"\r\nconnection: close\r\n" in wire.transport.written
    assert wire.failures == []
    await wire.close()


@pytest.mark.parametrize("case", BROKEN_BODIES, ids=lambda case: case.name)
async def test_a_body_that_breaks_the_rules_reaches_nobody_whole_and_nothing_behind_it_is_served(case: Case) -> None:
    wire = Wire()
    await wire.feed(case.data)
    await wire.settle()
    assert wire.seen == []
    assert wire.connection.closing
    assert wire.failures == []
    await wire.close()


async def test_no_trailer_and_no_other_requests_field_reaches_a_request() -> None:
    wire = Wire()
    (case,) = [case for case in SERVED if case.name.startswith("trailers")]
    await wire.feed(case.data)
    await wire.settle()
    fields = [name for seen in wire.seen for name, _ in seen[3]]
    assert fields == [b"host", b"transfer-encoding", b"host"]
    await wire.close()


async def test_an_absolute_target_names_the_host_whatever_the_field_says() -> None:
    wire = Wire()
    await wire.feed(b"GET http://b.example:8080/x%20y?z=1 HTTP/1.1\r\nHost: a\r\nX: c\r\n\r\n")
    await wire.settle()
    ((method, raw_path, query, fields, _),) = wire.seen
    assert (method, raw_path, query) == ("GET", b"/x%20y", b"z=1")
    assert fields == ((b"host", b"b.example:8080"), (b"x", b"c"))
    await wire.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=st.sampled_from(HOWEVER_CUT), cuts=st.lists(st.integers(1, 400), max_size=12))
async def test_how_the_bytes_are_cut_changes_nothing(case: Case, cuts: list[int]) -> None:
    outcomes = []
    for parts in ([case.data], in_parts(case.data, cuts)):
        wire = Wire()
        await wire.feed(*parts)
        await wire.settle()
        outcomes.append((wire.statuses, wire.seen, wire.connection.closing))
        assert wire.failures == []
        await wire.close()
    assert outcomes[0] == outcomes[1]


async def test_one_byte_at_a_time_is_as_good_as_all_at_once() -> None:
    for case in (case for case in HOWEVER_CUT if len(case.data) < 10_000):
        wire = Wire()
        await wire.feed(*(bytes([byte]) for byte in case.data))
        await wire.settle()
        if case not in BROKEN_BODIES:
            assert wire.statuses == list(case.statuses), case.name
        await wire.close()
