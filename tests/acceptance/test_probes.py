"""Probes that are about milliseconds, so that these run by themselves."""

import signal
import statistics
import time
from collections.abc import Iterator

import pytest
from drained_instance import Start
from processes import ServiceProcess
from strict_client import Connection, request_bytes

pytestmark = pytest.mark.alone


@pytest.fixture
def probes(service: ServiceProcess) -> Iterator[Connection]:
    with Connection(service.management_port) as connection:
        yield connection


@pytest.mark.parametrize("work", ["block", "compute"])
def test_liveness_answers_within_100_ms_while_the_service_loop_is_blocked_for_3_s(
    service: ServiceProcess, probes: Connection, work: str
) -> None:
    """Case 24: asleep, and computing."""
    with Connection(service.port) as connection:
        connection.request()
        connection.send(request_bytes(f"/{work}/3"))
        time.sleep(0.2)
        end = time.monotonic() + 2.5
        took = []
        while time.monotonic() < end:
            asked = time.monotonic()
            assert probes.request("/livez").status == 200
            took.append(time.monotonic() - asked)
            time.sleep(0.02)
        assert connection.receive().status == 200
    assert max(took) < 0.1, f"median {statistics.median(took):.3f} s of {len(took)}"


def test_liveness_is_503_once_the_service_loop_has_stalled_past_the_limit_and_200_when_it_turns_again(
    start: Start,
) -> None:
    """Case 24."""
    service = start(LM_LIVENESS_STALL="1")
    with Connection(service.port) as connection, Connection(service.management_port) as probes:
        connection.request()
        connection.send(request_bytes("/block/3"))
        blocked = time.monotonic()
        while probes.request("/livez").status == 200:
            assert time.monotonic() - blocked < 2.5
            time.sleep(0.02)
        assert 0.5 < time.monotonic() - blocked < 2
        assert probes.request("/readyz").status == 503  # wherever /livez is
        assert connection.receive().status == 200
        time.sleep(0.5)
        assert [probes.request(path).status for path in ("/livez", "/readyz")] == [200, 200]


def test_readiness_is_503_within_50_ms_of_the_stop_while_the_service_still_answers(
    service: ServiceProcess, probes: Connection
) -> None:
    """Case 25, by SIGTERM."""
    assert probes.request("/readyz").status == 200
    with Connection(service.port) as connection:
        began = time.monotonic()
        service.signal(signal.SIGTERM)
        while probes.request("/readyz").status == 200:
            assert time.monotonic() - began < 1
        assert time.monotonic() - began < 0.05
        response = connection.request()
        assert (response.status, response.body) == (200, b"draining")
        assert probes.request("/livez").status == 200


def test_readiness_is_503_within_50_ms_of_a_stop_call_while_the_service_still_answers(
    service: ServiceProcess, probes: Connection
) -> None:
    """Case 25, by `/stop`."""
    assert probes.request("/readyz").status == 200
    with Connection(service.port) as connection, Connection(service.management_port) as stopping:
        began = time.monotonic()
        stopping.send(request_bytes("/stop"))
        while probes.request("/readyz").status == 200:
            assert time.monotonic() - began < 1
        assert time.monotonic() - began < 0.05
        response = connection.request()
        assert (response.status, response.body) == (200, b"draining")
        assert probes.request("/livez").status == 200
        assert stopping.receive().status == 200
    assert service.wait() == 0


def test_readiness_once_503_never_comes_back(service: ServiceProcess, probes: Connection) -> None:
    """Case 25: the state only moves forward."""
    service.signal(signal.SIGTERM)
    service.wait_draining()
    assert {probes.request("/readyz").status for _ in range(50)} == {503}
