"""Requests that are only partly sent when the stop comes, and bodies that nobody reads."""

import signal
import time

from drained_instance import DELAY, EACH_STACK, IDLE_GRACE, Start, sleep_until
from processes import ServiceProcess
from strict_client import Connection, request_bytes

pytestmark = EACH_STACK
EXPECT = {"Expect": "100-continue"}


def test_half_a_head_before_the_stop_and_the_rest_after_it_is_served(service: ServiceProcess) -> None:
    """Case 3."""
    with Connection(service.port) as connection:
        connection.send(b"GET / HTTP/1.1\r\nHo")
        time.sleep(0.2)
        service.signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.send(b"st: localhost\r\n\r\n")
        response = connection.receive()
        assert (response.status, response.body, response.closes) == (200, b"draining", True)
        connection.wait_closed()
    assert service.wait() == 0


def test_half_a_head_is_no_idle_connection_and_may_be_finished_after_the_idle_grace(service: ServiceProcess) -> None:
    """Case 3, later: a partial head is busy."""
    with Connection(service.port) as connection:
        connection.request()
        connection.send(b"GET / HTTP/1.1\r\nHo")
        time.sleep(0.2)
        service.signal(signal.SIGTERM)
        time.sleep(DELAY + IDLE_GRACE + 1)
        connection.send(b"st: localhost\r\n\r\n")
        response = connection.receive()
        assert (response.status, response.closes) == (200, True)
        connection.wait_closed()
    assert service.wait() == 0


def test_a_body_finished_after_the_stop_is_read_whole(service: ServiceProcess) -> None:
    """Case 4."""
    body = bytes(range(256)) * 256
    request = request_bytes("/echo", method="POST", body=body)
    with Connection(service.port) as connection:
        connection.send(request[:-1000])
        time.sleep(0.2)
        service.signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.send(request[-1000:])
        response = connection.receive()
        assert (response.status, response.body, response.closes) == (200, body, True)
        connection.wait_closed()
    assert service.wait() == 0


def test_a_client_that_waits_for_100_continue_over_the_stop_is_served(service: ServiceProcess) -> None:
    """Case 4: the head before the stop, the body after it."""
    request = request_bytes("/echo", method="POST", body=b"expected", headers=EXPECT)
    with Connection(service.port) as connection:
        connection.send(request.removesuffix(b"expected"))
        assert connection.receive().status == 100
        service.signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.send(b"expected")
        response = connection.receive()
        assert (response.status, response.body, response.closes) == (200, b"expected", True)
        connection.wait_closed()
    assert service.wait() == 0


def test_a_client_that_asks_for_100_continue_while_draining_is_served(service: ServiceProcess) -> None:
    """Case 4: head and body after the stop."""
    request = request_bytes("/echo", method="POST", body=b"expected", headers=EXPECT)
    with Connection(service.port) as connection:
        connection.request()
        service.signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.send(request.removesuffix(b"expected"))
        assert connection.receive().status == 100
        connection.send(b"expected")
        response = connection.receive()
        assert (response.status, response.body, response.closes) == (200, b"expected", True)
    assert service.wait() == 0


def test_a_large_body_that_the_handler_ignores_is_taken_in_and_its_response_arrives(start: Start) -> None:
    """Case 10: on a connection from before the stop, and on one opened while draining."""
    service = start(LM_MAX_BODY_SIZE=str(8 << 20), LM_DRAIN_DELAY="2")
    request = request_bytes("/ignore", method="POST", body=bytes(3_000_000))
    with Connection(service.port) as connection:
        connection.request()
        service.signal(signal.SIGTERM)
        began = time.monotonic()
        service.wait_draining()
        sleep_until(began + 0.3)
        with Connection(service.port) as newcomer:
            for each in (connection, newcomer):
                each.send(request)
                response = each.receive()
                assert (response.status, response.body, response.closes) == (200, b"ignored", True)
                each.wait_closed()
    assert service.wait() == 0


def test_a_large_body_sent_slowly_to_a_handler_that_ignores_it_does_not_reset_the_response(start: Start) -> None:
    """Case 10: the response is there long before the body's end."""
    service = start(LM_MAX_BODY_SIZE=str(8 << 20))
    request = request_bytes("/ignore", method="POST", body=bytes(3_000_000))
    with Connection(service.port) as connection:
        connection.request()
        service.signal(signal.SIGTERM)
        time.sleep(0.3)
        for part in range(0, len(request), 300_000):
            connection.send(request[part : part + 300_000])
            time.sleep(0.05)
        response = connection.receive()
        assert (response.status, response.body, response.closes) == (200, b"ignored", True)
    assert service.wait() == 0
