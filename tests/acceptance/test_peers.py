"""Who may call `/stop`."""

import socket

import pytest
from drained_instance import EACH_STACK, Start
from processes import ServiceProcess
from strict_client import Connection, Response

pytestmark = EACH_STACK
POST = {"Content-Length": "0"}


def own_address() -> str:
    """This machine's address towards elsewhere; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards:
        try:
            towards.connect(("198.51.100.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        address: str = towards.getsockname()[0]
        return address


def call(service: ServiceProcess, host: str, method: str, headers: dict[str, str]) -> Response:
    with Connection(service.management_port, host=host) as connection:
        return connection.request("/stop", method=method, headers=headers | POST)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_stop_from_another_address_is_forbidden_and_nothing_happens(service: ServiceProcess, method: str) -> None:
    """Case 20."""
    address = own_address()
    forged = {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
    for headers in ({}, forged):
        assert call(service, address, method, headers).status == 403
        assert service.probe("/readyz") == 200
    with Connection(service.port) as connection:
        response = connection.request()
        assert (response.body, response.closes) == (b"hello", False)
    assert service.stop()["status"] == "stopped"
    assert service.wait() == 0


def test_a_stop_from_loopback_is_forbidden_where_the_allowed_networks_leave_it_out(start: Start) -> None:
    """Case 20, on a machine with no other address too."""
    service = start(LM_MANAGEMENT_ALLOW="127.9.9.9/32")
    assert call(service, "127.0.0.1", "POST", {}).status == 403
    assert service.probe("/readyz") == 200
    with Connection(service.port) as connection:
        assert connection.request().body == b"hello"
