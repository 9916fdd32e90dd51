"""Addresses that cannot be had: exit 2 at once, in one line that says which setting to change."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command import FREE, LMSERVICE, PROGRAM, Ended
from processes import Process, ServiceProcess

Run = Callable[..., Ended]
PORTS = ["PORT", "MANAGEMENT_PORT"]
STARTING = PROGRAM + "\n@service.startup_job\nasync def forever():\n    import asyncio\n    await asyncio.sleep(600)\n"


def taken(host: str = "127.0.0.1", *, listening: bool) -> socket.socket:
    """A socket that holds a port."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.bind((host, 0))
    if listening:
        sock.listen()
    return sock


@pytest.mark.parametrize("name", PORTS)
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("listening", [True, False], ids=["listening", "bound"])
def test_a_port_in_use_ends_the_start_at_once(run: Run, name: str, host: str, listening: bool) -> None:  # noqa: FBT001
    with taken(host, listening=listening) as sock:
        port = sock.getsockname()[1]
        problem = run(STARTING, **{name: str(port)}).problem
    assert str(port) in problem
    assert f"LM_{name}" in problem


def test_a_management_port_in_use_on_the_other_family_ends_the_start_too(run: Run) -> None:
    """It would be half taken: a `localhost` that resolves to ::1 would reach the other process."""
    with taken("::1", listening=True) as sock:
        assert "LM_MANAGEMENT_PORT" in run(STARTING, MANAGEMENT_PORT=str(sock.getsockname()[1])).problem


@pytest.mark.parametrize("name", PORTS)
def test_a_second_instance_ends_at_once_while_the_first_is_still_starting(
    start_process: Callable[..., ServiceProcess], run: Run, name: str
) -> None:
    first = start_process(STARTING)
    first.wait_draining()  # that is, it answers 503 to /readyz
    port = first.port if name == "PORT" else first.management_port
    began = time.monotonic()
    problem = run(STARTING, **{name: str(port)}).problem
    assert time.monotonic() - began < 5
    assert str(port) in problem
    assert first.probe("/livez") == 200


def test_one_port_for_both_listeners_is_refused_by_both_names(run: Run) -> None:
    """Nothing else listens there: `stop what listens there` would send people looking for it."""
    with taken(listening=False) as sock:
        port = str(sock.getsockname()[1])
    problem = run(PORT=port, MANAGEMENT_PORT=port).problem
    assert port in problem
    assert "LM_PORT" in problem
    assert "LM_MANAGEMENT_PORT" in problem


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("HOST", "no.such.host.invalid"),
        ("HOST", "192.0.2.1"),
        ("HOST", ".."),
        ("HOST", ""),
        ("MANAGEMENT_HOST", "2001:db8::1"),
        ("MANAGEMENT_HOST", "a" * 300),
    ],
)
def test_a_host_that_is_none_is_named(run: Run, name: str, host: str) -> None:
    assert f"LM_{name}" in run(**{name: host}).problem


@pytest.mark.skipif(os.geteuid() != 0, reason="takes privileges to drop them")
@pytest.mark.parametrize("name", PORTS)
def test_a_privileged_port_is_refused_with_the_setting_to_change(folder: Path, name: str) -> None:
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 80:
        pytest.skip("port 80 is not privileged here")
    dropped = ["setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"]
    command = [*dropped, LMSERVICE, "run", "program:service"]
    with Process(command, folder=folder, settings={**FREE, f"LM_{name}": "80"}) as process:
        assert process.wait() == 2
        (problem,) = process.output
    assert f"LM_{name}" in problem
    assert "80" in problem


@pytest.mark.parametrize("host", ["[::1]", "localhost", "0.0.0.0"])
def test_port_0_picks_free_ports_and_both_bound_addresses_are_logged(
    start_process: Callable[..., ServiceProcess], host: str
) -> None:
    process = start_process(PROGRAM, settings={"LM_HOST": host, "LM_MANAGEMENT_HOST": host})
    listening = process.event("lmservice.listening")
    for key in ("url", "management_url"):
        assert listening[key].startswith(("http://[", "http://127.", "http://0."))
        assert int(listening[key].rpartition(":")[2]) > 1023
    assert listening["url"] != listening["management_url"]


def test_management_listens_on_both_families_by_default(start_process: Callable[..., ServiceProcess]) -> None:
    process = start_process(PROGRAM).wait_ready()
    assert process.event("lmservice.listening")["management_url"].startswith("http://[::]:")
    for host in ("127.0.0.1", "::1"):
        with socket.create_connection((host, process.management_port), 5) as sock:
            sock.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert sock.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"


def test_a_port_is_free_again_as_soon_as_a_service_with_connections_has_ended(
    start_process: Callable[..., ServiceProcess],
) -> None:
    first = start_process(PROGRAM).wait_ready()
    ports = {"LM_PORT": str(first.port), "LM_MANAGEMENT_PORT": str(first.management_port)}
    with socket.create_connection(("127.0.0.1", first.port)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert sock.recv(12) == b"HTTP/1.1 404"
        first.stop()
        assert first.wait() == 0
    assert start_process(PROGRAM, settings=ports).wait_ready().port == first.port
