"""WebSockets over the stop."""

import signal
import time

import pytest
from drained_instance import DELAY, DELAY_MAX, EACH_STACK
from processes import ServiceProcess
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

pytestmark = EACH_STACK


def test_a_websocket_works_through_the_delay_and_is_then_told_that_the_service_restarts(
    service: ServiceProcess,
) -> None:
    """Case 18."""
    with connect(f"ws://127.0.0.1:{service.port}/websocket", proxy=None) as websocket:
        websocket.send("before")
        assert websocket.recv(10) == "before"
        service.signal(signal.SIGTERM)
        began = time.monotonic()
        time.sleep(0.5)
        websocket.send("draining")
        assert websocket.recv(10) == "draining"
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        assert DELAY <= time.monotonic() - began < DELAY_MAX + 1
    assert service.wait() == 0


def test_a_websocket_opened_during_the_delay_works_too(service: ServiceProcess) -> None:
    """Case 18: the endpoints may send newcomers until the listener closes."""
    service.signal(signal.SIGTERM)
    service.wait_draining()
    with connect(f"ws://127.0.0.1:{service.port}/websocket", proxy=None) as websocket:
        websocket.send("newcomer")
        assert websocket.recv(10) == "newcomer"
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    assert service.wait() == 0
