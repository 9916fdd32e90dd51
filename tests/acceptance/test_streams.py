"""Responses that are under way when the stop comes."""

import signal
import time

import pytest
from drained_instance import DELAY, DRAIN, EACH_STACK, Start, refuses, wait_refusing
from processes import ServiceProcess
from strict_client import Connection, ExchangeError, request_bytes

pytestmark = EACH_STACK


@pytest.mark.parametrize("seconds", [0.8, DELAY + 1.5], ids=["within the delay", "past the listener's close"])
def test_a_request_over_the_stop_is_answered_and_told_to_close(service: ServiceProcess, seconds: float) -> None:
    """Case 5."""
    with Connection(service.port) as connection:
        connection.send(request_bytes(f"/slow/{seconds}"))
        time.sleep(0.3)
        service.signal(signal.SIGTERM)
        response = connection.receive()
        assert (response.status, response.body, response.closes) == (200, b"slow", True)
        connection.wait_closed()
    assert service.wait() == 0


def test_a_stream_over_the_stop_and_the_request_after_it_both_arrive_whole(service: ServiceProcess) -> None:
    """Case 6."""
    with Connection(service.port) as connection:
        connection.send(request_bytes("/stream/0.8"))
        connection.wait_begun()
        time.sleep(0.2)
        service.signal(signal.SIGTERM)
        streamed = connection.receive()
        assert (streamed.body, streamed.closes) == (b"".join(b"%d\n" % number for number in range(10)), False)
        after = connection.request()
        assert (after.status, after.body, after.closes) == (200, b"draining", True)
        connection.wait_closed()
    assert service.wait() == 0


def test_a_stream_that_outlives_the_listener_and_the_request_after_it_both_arrive_whole(start: Start) -> None:
    """Case 6, later."""
    service = start(LM_IDLE_GRACE="4")
    with Connection(service.port) as connection:
        connection.send(request_bytes("/stream/2.5"))
        connection.wait_begun()
        service.signal(signal.SIGTERM)
        streamed = connection.receive()
        assert (streamed.body[-2:], streamed.closes) == (b"9\n", False)
        assert refuses(service.port)
        after = connection.request()
        assert (after.status, after.closes) == (200, True)
        connection.wait_closed()
    assert service.wait() == 0


def test_a_large_response_whose_reader_starts_late_arrives_whole(service: ServiceProcess) -> None:
    """Case 11."""
    with Connection(service.port) as connection:
        connection.send(request_bytes("/large/8"))
        time.sleep(0.3)
        service.signal(signal.SIGTERM)
        time.sleep(1.5)
        response = connection.receive()
        assert (response.status, len(response.body)) == (200, 8 << 20)
    assert service.wait() == 0


def test_a_large_response_begun_while_draining_whose_reader_is_slower_than_the_idle_grace_arrives_whole(
    service: ServiceProcess,
) -> None:
    """Case 11: what is not flushed keeps a connection."""
    with Connection(service.port) as connection:
        connection.request()
        service.signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.send(request_bytes("/large/8"))
        wait_refusing(service.port)
        time.sleep(2.5)
        response = connection.receive()
        assert (response.status, len(response.body), response.closes) == (200, 8 << 20, True)
        connection.wait_closed()
    assert service.wait() == 0


def test_an_endless_event_stream_sees_the_draining_and_cannot_hold_the_stop_past_its_budget(
    service: ServiceProcess,
) -> None:
    """Case 17: a handler that does not care is cut off, and the exit code says so."""
    with Connection(service.port) as connection:
        connection.send(request_bytes("/events/1"))
        connection.wait_begun()
        service.signal(signal.SIGTERM)
        began = time.monotonic()
        with pytest.raises(ExchangeError) as cut:
            connection.receive()
        assert cut.value.kind == "truncated"
    assert service.wait() == 70
    assert DELAY + DRAIN <= time.monotonic() - began < DELAY + DRAIN + 5
    assert service.event("lmservice.stopped")["requests"]["cancelled"] == 1


def test_an_event_stream_that_ends_itself_when_told_of_the_draining_lets_the_stop_be_quick_and_clean(
    service: ServiceProcess,
) -> None:
    """Case 17: a handler that cares."""
    with Connection(service.port) as connection:
        connection.send(request_bytes("/events/0"))
        connection.wait_begun()
        service.signal(signal.SIGTERM)
        began = time.monotonic()
        assert connection.receive().body == b"data: begun\n\ndata: draining 1\n\n"
        assert time.monotonic() - began < DELAY
    assert service.wait() == 0
