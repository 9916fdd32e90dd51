"""A Graphite that does not answer costs requests nothing, and a stop no more than its share of the clean-up."""

import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from processes import ServiceProcess

Pushing = Callable[..., ServiceProcess]


@contextmanager
def refusing() -> Iterator[int]:
    """A port where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@contextmanager
def black_hole() -> Iterator[int]:
    """A listener whose queue is full: it answers no further connection, and refuses none."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003 - the socket module's own
            waiting.connect_ex(listener.getsockname())
        time.sleep(0.1)
        yield listener.getsockname()[1]


@contextmanager
def never_reading() -> Iterator[int]:
    """A listener that takes connections, and nothing that comes over them."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        yield listener.getsockname()[1]


OUTAGES = {"refusing": (refusing, "0"), "black hole": (black_hole, "0"), "never reading": (never_reading, "12000")}


@pytest.mark.parametrize("outage", OUTAGES)
def test_requests_are_served_and_the_stop_is_in_time_and_clean(pushing: Pushing, outage: str) -> None:
    make, many = OUTAGES[outage]
    with make() as port:
        process = pushing(f"graphite://127.0.0.1:{port}", GRAPHITE_INTERVAL="0.2", MANY=many)
        for _ in range(100):
            began = time.monotonic()
            with urllib.request.urlopen(f"{process.url}/hello/world", timeout=20) as response:
                assert response.read() == b"hello"
            assert time.monotonic() - began < 1
        began = time.monotonic()
        report = process.stop()
        code = process.wait()
        assert time.monotonic() - began < 4
    assert report["status"] == "stopped"
    assert report["phases"]["cleanup"] < 2.5
    assert code == 0
    events = [each for each in process.logs if "graphite" in each["event"]]
    assert [(each["event"], each["level"]) for each in events] == [("lmservice.graphite_failed", "warning")]
    assert events[0]["error"]
    assert process.logs[-1]["event"] == "lmservice.stopped"


def test_the_last_push_has_little_where_the_clean_up_has_no_time(pushing: Pushing) -> None:
    with black_hole() as port:
        process = pushing(f"graphite://127.0.0.1:{port}", CLEANUP_TIMEOUT="0.2")
        assert process.stop()["phases"]["cleanup"] < 1.5
        assert process.wait() == 0


def test_a_start_that_fails_waits_for_no_graphite(start_process: Callable[..., ServiceProcess]) -> None:
    program = (
        "from lmservice import Service\nservice = Service('x', routes=[])\n@service.startup_job\ndef no(): 1 / 0\n"
    )
    with black_hole() as port:
        process = start_process(program, settings={"LM_GRAPHITE_URL": f"graphite://127.0.0.1:{port}"})
        assert process.wait() == 3
    assert not [each for each in process.logs if "graphite" in each["event"]]
