"""Listening sockets, on the loopback of the machine that runs the test."""

import contextlib
import socket
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from lmservice.errors import BindError
from lmservice.web import sockets

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="a socket option that Linux alone has")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with contextlib.closing(sockets.bind("127.0.0.1", 0, name="LM_")) as sock:
        sockets.allow_sharing(sock)
        sock.listen()
        yield sock


def connect(listener: socket.socket) -> socket.socket:
    return socket.create_connection(listener.getsockname()[:2], timeout=5)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_port_0_picks_a_free_one_and_its_url_is_told() -> None:
    with contextlib.closing(sockets.bind("127.0.0.1", 0, name="LM_")) as sock:
        assert sock.getsockname()[1] > 0
        assert sockets.url(sock) == f"http://127.0.0.1:{sock.getsockname()[1]}"


def test_a_bound_socket_does_not_accept_yet() -> None:
    with contextlib.closing(sockets.bind("127.0.0.1", 0, name="LM_")) as sock, pytest.raises(ConnectionRefusedError):
        connect(sock)


def test_two_colons_take_both_families() -> None:
    with contextlib.closing(sockets.bind("::", 0, name="LM_MANAGEMENT_")) as sock:
        sock.listen()
        port = sock.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        if sock.family == socket.AF_INET6:
            socket.create_connection(("::1", port), timeout=5).close()
            assert sockets.url(sock) == f"http://[::]:{port}"


def test_without_ipv6_two_colons_are_ipv4_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_ipv6", False)
    with contextlib.closing(sockets.bind("::", 0, name="LM_MANAGEMENT_")) as sock:
        assert sockets.url(sock).startswith("http://0.0.0.0:")


@pytest.mark.parametrize("listening", [True, False], ids=["listening", "bound"])
@pytest.mark.parametrize("name", ["LM_", "LM_MANAGEMENT_"])
def test_a_port_in_use_is_refused_with_the_setting_to_change(listening: bool, name: str) -> None:  # noqa: FBT001
    with contextlib.closing(sockets.bind("127.0.0.1", 0, name="LM_")) as first:
        if listening:
            first.listen()
        port = first.getsockname()[1]
        with pytest.raises(BindError, match=rf"port {port} .*in use.*{name}PORT") as caught:
            sockets.bind("127.0.0.1", port, name=name)
        assert "\n" not in str(caught.value)


def test_a_port_can_be_had_again_while_its_last_connection_lingers(listener: socket.socket) -> None:
    """A connection that this side closed first is in TIME_WAIT, on the listener's port."""
    client = connect(listener)
    until(lambda: sockets.queue_length(listener) == 1)
    accepted, _ = listener.accept()
    accepted.close()
    assert client.recv(1) == b""
    client.close()
    port = listener.getsockname()[1]
    listener.close()
    sockets.bind("127.0.0.1", port, name="LM_").close()


@pytest.mark.parametrize(
    ("host", "words"),
    [("no.such.host.invalid", "LM_HOST"), ("192.0.2.1", "LM_HOST"), ("a" * 300, "LM_HOST"), ("\udc80", "LM_HOST")],
)
def test_a_host_that_cannot_be_is_refused_with_the_setting_to_change(host: str, words: str) -> None:
    with pytest.raises(BindError, match=words):
        sockets.bind(host, 0, name="LM_")


@LINUX
def test_a_refusing_listener_resets_nobody_in_its_queue(listener: socket.socket) -> None:
    queued = [connect(listener) for _ in range(5)]
    until(lambda: sockets.queue_length(listener) == 5)
    assert sockets.refuse_new(listener)
    with pytest.raises(ConnectionRefusedError):
        connect(listener)
    for number, client in enumerate(queued):
        client.sendall(b"x")
        accepted, _ = listener.accept()
        accepted.settimeout(5)
        assert accepted.recv(1) == b"x"
        assert sockets.queue_length(listener) == 4 - number
        accepted.close()
        client.close()


def test_refusing_fails_quietly_where_the_system_cannot_do_it() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.close()
        assert not sockets.refuse_new(sock)
        assert sockets.queue_length(sock) == 0


def test_bytes_that_nobody_read_are_counted(listener: socket.socket) -> None:
    client = connect(listener)
    until(lambda: sockets.queue_length(listener) == 1)
    accepted, _ = listener.accept()
    assert sockets.unread(accepted) == 0
    client.sendall(b"seven..")
    until(lambda: sockets.unread(accepted) == 7)
    client.close()
    accepted.close()
    assert sockets.unread(accepted) == 0
