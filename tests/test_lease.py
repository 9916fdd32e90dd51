"""A Lease: who may write what over it, and when it may be taken over."""

from typing import Any

import pytest

from lmservice.lease import Claim, Expiry, Lease, held_since, holder_of, now, reference

OURS, THEIRS = Claim("ours", 15), Claim("theirs", 30)


@pytest.fixture
def lease() -> Lease:
    """Return a Lease of the cluster that somebody else holds."""
    held = THEIRS.over(reference("shop", "turns"))
    return {**held, "metadata": {**held["metadata"], "resourceVersion": "7", "annotations": {"team": "a"}}}


def test_a_new_lease_is_its_makers() -> None:
    made = OURS.over(reference("shop", "turns"))
    assert made["kind"] == "Lease"
    assert made["apiVersion"] == "coordination.k8s.io/v1"
    assert made["metadata"] == {"name": "turns", "namespace": "shop"}
    assert made["spec"]["leaseDurationSeconds"] == 15
    assert OURS.holds(made)
    assert not THEIRS.holds(made)


def test_what_is_written_over_a_lease_keeps_the_version_that_was_read(lease: Lease) -> None:
    written = OURS.over(lease)
    assert written["metadata"] == lease["metadata"]
    assert holder_of(written) == "ours"
    assert holder_of(lease) == "theirs"


def test_an_annotation_joins_those_that_are_there(lease: Lease) -> None:
    written = OURS.over(lease, {"turn": "12"})
    assert written["metadata"]["annotations"] == {"team": "a", "turn": "12"}
    assert lease["metadata"]["annotations"] == {"team": "a"}
    assert OURS.over(reference("shop", "turns"), {"turn": "12"})["metadata"]["annotations"] == {"turn": "12"}


def test_a_renewal_keeps_the_moment_when_it_was_taken_and_a_takeover_does_not(lease: Lease) -> None:
    lease["spec"].update(acquireTime="2026-01-01T00:00:00.000000Z")
    assert held_since(THEIRS.over(lease)) == "2026-01-01T00:00:00"
    assert held_since(OURS.over(lease)) > "2026-01-01T00:00:00"
    assert THEIRS.over(lease)["spec"]["renewTime"] > "2026-01-02"


def test_a_write_whose_answer_was_lost_stands_and_one_that_came_second_does_not(lease: Lease) -> None:
    written = OURS.over(lease)
    assert OURS.stands({**written, "metadata": {**written["metadata"], "resourceVersion": "8"}}, written)
    assert not OURS.stands(lease, written)
    assert not OURS.stands(None, written)
    assert not OURS.stands(OURS.over(lease), {**written, "spec": {**written["spec"], "renewTime": "earlier"}})


def test_a_lease_that_was_let_go_is_free(lease: Lease) -> None:
    released = THEIRS.released(lease)
    assert holder_of(released) == ""
    assert released["metadata"] == lease["metadata"]
    assert Expiry(15).is_free(released)


@pytest.mark.parametrize("lease", [None, {}, {"spec": {}}, {"spec": {"holderIdentity": None}}])
def test_a_lease_that_says_nothing_is_nobodys(lease: Any) -> None:
    assert holder_of(lease) == ""
    assert held_since(lease) == ""
    assert Expiry(15).is_free(lease or {})


def test_a_lease_may_be_taken_over_once_it_was_not_renewed_for_its_own_duration(lease: Lease) -> None:
    moments = [100.0]
    expiry = Expiry(1, lambda: moments[-1])
    assert not expiry.is_free(lease)
    moments.append(130)
    assert not expiry.is_free(lease)
    moments.append(130.1)
    assert expiry.is_free(lease)


def test_each_renewal_begins_the_wait_anew(lease: Lease) -> None:
    moments = [0.0]
    expiry = Expiry(1, lambda: moments[-1])
    assert not expiry.is_free(lease)
    moments.append(29)
    lease = THEIRS.over(lease)
    assert not expiry.is_free(lease)
    moments.append(58)
    assert not expiry.is_free(lease)
    moments.append(60)
    assert expiry.is_free(lease)


def test_a_lease_without_a_duration_lasts_as_long_as_ones_own(lease: Lease) -> None:
    del lease["spec"]["leaseDurationSeconds"]
    moments = [0.0]
    expiry = Expiry(15, lambda: moments[-1])
    assert not expiry.is_free(lease)
    moments.append(15.1)
    assert expiry.is_free(lease)


def test_the_clock_goes_forward() -> None:
    assert now() <= now()
