"""Stops that come more than once, through either door."""

import signal
import time

from drained_instance import EACH_STACK_AND_WORKERS
from processes import ServiceProcess
from strict_client import Connection, request_bytes

pytestmark = EACH_STACK_AND_WORKERS


def test_a_storm_of_signals_over_two_stop_calls_changes_neither_answers_nor_exit_code(service: ServiceProcess) -> None:
    """Case 15."""
    stops = [service.begin_stop() for _ in range(2)]
    end = time.monotonic() + 20
    while service.running and time.monotonic() < end:
        service.signal(signal.SIGTERM)
        time.sleep(0.002)
    first, second = (stop.result(5) for stop in stops)
    assert service.wait(1) == 0
    assert first["status"] == "stopped"
    assert first == second


def test_a_storm_of_signals_alone_ends_in_exit_0_with_the_request_under_way_served(service: ServiceProcess) -> None:
    """Case 15, without `/stop`."""
    with Connection(service.port) as connection:
        connection.send(request_bytes("/slow/0.8"))
        time.sleep(0.2)
        while service.running:
            service.signal(signal.SIGTERM)
            time.sleep(0.002)
        response = connection.receive()
        assert (response.status, response.closes) == (200, True)
    assert service.wait() == 0


def test_a_second_sigterm_does_not_cut_off_a_long_request(service: ServiceProcess) -> None:
    """Case 16."""
    with Connection(service.port) as connection:
        connection.send(request_bytes("/slow/2"))
        time.sleep(0.2)
        service.signal(signal.SIGTERM)
        time.sleep(0.3)
        service.signal(signal.SIGTERM)
        response = connection.receive()
        assert (response.status, response.body, response.closes) == (200, b"slow", True)
    assert service.wait() == 0
