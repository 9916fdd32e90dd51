"""Requests sent one behind the other on one connection."""

import signal
import time

import pytest
from drained_instance import EACH_STACK
from processes import ServiceProcess
from strict_client import Connection, request_bytes

pytestmark = EACH_STACK


@pytest.mark.parametrize("interrupted", [0, 2], ids=["first", "third"])
def test_five_pipelined_requests_are_all_served_and_only_the_last_says_close(
    service: ServiceProcess, interrupted: int
) -> None:
    """Case 7."""
    paths = ["/"] * 5
    paths[interrupted] = "/slow/0.6"
    with Connection(service.port) as connection:
        connection.send(b"".join(request_bytes(path) for path in paths))
        time.sleep(0.2)
        service.signal(signal.SIGTERM)
        responses = [connection.receive() for _ in paths]
        assert [response.status for response in responses] == [200] * 5
        assert responses[interrupted].body == b"slow"
        assert [response.closes for response in responses] == [False] * 4 + [True]
        connection.wait_closed()
    assert service.wait() == 0


def test_requests_pipelined_behind_a_body_are_all_served_and_only_the_last_says_close(service: ServiceProcess) -> None:
    """Case 7: the stop comes while the first one's body is still being sent."""
    first = request_bytes("/echo", method="POST", body=b"x" * 1000)
    with Connection(service.port) as connection:
        connection.send(first[:-10])
        time.sleep(0.2)
        service.signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.send(first[-10:] + request_bytes() * 3)
        responses = [connection.receive() for _ in range(4)]
        assert [response.status for response in responses] == [200] * 4
        assert [response.closes for response in responses] == [False] * 3 + [True]
        connection.wait_closed()
    assert service.wait() == 0
