"""What becomes of connections that are open, and silent, when the stop comes."""

import signal
import time

import pytest
from drained_instance import DELAY, EACH_STACK, IDLE_GRACE, Start, wait_refusing
from processes import ServiceProcess
from strict_client import Connection, request_bytes

pytestmark = EACH_STACK


def test_a_connection_opened_before_the_stop_gets_its_first_request_served(service: ServiceProcess) -> None:
    """Case 1."""
    with Connection(service.port) as connection:
        time.sleep(0.2)
        service.signal(signal.SIGTERM)
        time.sleep(0.3)
        response = connection.request()
        assert (response.status, response.body, response.closes) == (200, b"draining", True)
        connection.wait_closed()
    assert service.wait() == 0


def test_an_idle_keep_alive_connection_gets_one_more_request_served_and_is_told_to_close(
    service: ServiceProcess,
) -> None:
    """Case 2."""
    with Connection(service.port) as connection:
        before = connection.request()
        assert (before.body, before.closes) == (b"hello", False)
        service.signal(signal.SIGTERM)
        time.sleep(0.3)
        after = connection.request()
        assert (after.status, after.body, after.closes) == (200, b"draining", True)
        connection.wait_closed()
    assert service.wait() == 0


def test_an_idle_keep_alive_connection_is_served_even_after_the_listener_has_closed(service: ServiceProcess) -> None:
    """Case 2, later."""
    with Connection(service.port) as connection:
        connection.request()
        stopping = service.begin_stop()
        wait_refusing(service.port)
        time.sleep(0.5)
        after = connection.request()
        assert (after.status, after.closes) == (200, True)
        connection.wait_closed()
    assert stopping.result(10)["status"] == "stopped"
    assert service.wait() == 0


@pytest.mark.parametrize("path", [None, "/"], ids=["never used", "used once"])
def test_a_silent_connection_is_closed_in_order_within_the_idle_grace_and_the_exit_is_clean(
    start: Start, path: str | None
) -> None:
    """Case 19."""
    service = start(LM_DRAIN_TIMEOUT="15")
    with Connection(service.port, timeout=30) as connection:
        if path:
            connection.send(request_bytes(path))
            connection.receive()
        time.sleep(0.2)
        service.signal(signal.SIGTERM)
        began = time.monotonic()
        connection.wait_closed()
        assert DELAY < time.monotonic() - began < DELAY + IDLE_GRACE + 4
    assert service.wait() == 0
