"""`lmservice stop`: what a preStop hook runs where there is no wget."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from command import PROGRAM, Ended, lmservice
from processes import ServiceProcess, free_port

Call = Callable[..., Ended]
Start = Callable[..., ServiceProcess]
Answering = Callable[[bytes], str]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Listeners that give whoever connects the same bytes, and then say nothing more; the fixture gives their URL."""
    with ExitStack() as stack:

        def listening(answer: bytes) -> str:
            sock = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve() -> None:
                accepted, _ = sock.accept()
                stack.callback(accepted.close)
                accepted.recv(4096)
                accepted.sendall(answer)

            threading.Thread(target=serve, daemon=True).start()
            return f"http://127.0.0.1:{sock.getsockname()[1]}"

        yield listening


def http(body: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def test_it_drains_the_service_of_the_management_port_and_prints_its_report(start_process: Start, folder: Path) -> None:
    process = start_process(PROGRAM).wait_ready()
    ended = lmservice("stop", folder=folder, settings={"LM_MANAGEMENT_PORT": str(process.management_port)})
    assert (ended.code, ended.errors) == (0, "")
    report = json.loads(ended.output)
    assert report["status"] == "stopped"
    assert set(report["phases"]) == {"drain_delay", "drain", "cleanup"}
    assert set(report["requests"]) == {"served", "cancelled"}
    assert process.wait() == 0


@pytest.mark.parametrize("url", ["http://127.0.0.1:{}", "http://localhost:{}/", "http://[::1]:{}"])
def test_it_takes_a_url_and_uses_no_proxy(start_process: Start, folder: Path, url: str) -> None:
    process = start_process(PROGRAM).wait_ready()
    nowhere = f"http://127.0.0.1:{free_port()}"
    proxies = {"http_proxy": nowhere, "HTTP_PROXY": nowhere, "all_proxy": nowhere, "LM_MANAGEMENT_PORT": "1"}
    ended = lmservice("stop", "--url", url.format(process.management_port), folder=folder, settings=proxies)
    assert (ended.code, json.loads(ended.output)["status"]) == (0, "stopped")
    assert process.wait() == 0


def test_it_works_with_a_name_as_url_only_where_the_service_knows_the_name(start_process: Start, call: Call) -> None:
    process = start_process(PROGRAM).wait_ready()
    ended = call("stop", "--url", f"http://{socket.gethostname()}:{process.management_port}")
    assert (ended.code, ended.output) == (1, "")
    assert process.probe("/readyz") == 200


def test_two_at_once_get_the_same_report(start_process: Start, folder: Path) -> None:
    process = start_process(PROGRAM, settings={"LM_ENVIRONMENT": "qa", "LM_DRAIN_DELAY": "1"}).wait_ready()
    first = process.begin_stop()
    ended = lmservice("stop", "--url", process.management_url, folder=folder)
    assert ended.code == 0
    assert json.loads(ended.output) == first.result(5)


def test_nothing_there_is_one_line_that_names_the_url(call: Call) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    ended = call("stop", "--url", nowhere)
    assert (ended.code, ended.output, len(ended.problems)) == (1, "", 1)
    assert nowhere in ended.errors


def test_without_url_and_variable_it_is_port_8002_of_localhost(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def refuse(address: object, *_: object, **__: object) -> None:
        asked.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    assert call("stop").code == 1
    assert asked == [("localhost", 8002)]


@pytest.mark.parametrize(
    "url", ["localhost:8002", "https://localhost:8002", "http://", "http://[::1", "http://localhost:port", "ftp://h"]
)
def test_a_url_that_is_none_is_bad_usage(call: Call, url: str) -> None:
    assert repr(url) in call("stop", "--url", url).problem


@pytest.mark.parametrize("port", ["eighty", "99999"])
def test_a_management_port_that_is_none_is_bad_usage_and_named(
    call: Call, monkeypatch: pytest.MonkeyPatch, port: str
) -> None:
    monkeypatch.setenv("LM_MANAGEMENT_PORT", port)
    assert port in call("stop").problem


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "soon"])
def test_a_timeout_that_is_none_is_bad_usage(call: Call, timeout: str) -> None:
    ended = call("stop", f"--timeout={timeout}")
    assert (ended.code, ended.output) == (2, "")
    assert "timeout" in ended.errors


@pytest.mark.parametrize("timeout", ["inf", "1e30", "1e10"])
def test_a_timeout_longer_than_clocks_count_is_no_traceback(call: Call, timeout: str) -> None:
    ended = call("stop", "--timeout", timeout, "--url", f"http://127.0.0.1:{free_port()}")
    assert ended.code in {1, 2}
    assert len(ended.problems) == 1


def test_a_service_that_drains_for_longer_than_the_timeout_is_told_and_goes_on(
    start_process: Start, call: Call
) -> None:
    process = start_process(PROGRAM, settings={"LM_ENVIRONMENT": "qa", "LM_DRAIN_DELAY": "1.5"}).wait_ready()
    began = time.monotonic()
    ended = call("stop", "--url", process.management_url, "--timeout", "0.2")
    assert time.monotonic() - began < 1
    assert (ended.code, ended.output, len(ended.problems)) == (1, "", 1)
    assert "0.2" in ended.errors
    assert process.stop()["status"] == "stopped"
    assert process.wait() == 0


def test_the_timeout_bounds_the_whole_and_not_each_byte(call: Call) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:

        def drip() -> None:
            accepted, _ = sock.accept()
            with accepted:
                accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                for _ in range(25):
                    time.sleep(0.05)
                    try:
                        accepted.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        began = time.monotonic()
        ended = call("stop", "--url", f"http://127.0.0.1:{sock.getsockname()[1]}", "--timeout", "0.3")
        assert time.monotonic() - began < 1
        assert ended.code == 1
        thread.join(5)


@pytest.mark.parametrize(
    "answer",
    [
        http('{"detail": "no"}', "403 Forbidden"),
        http("<html>", "404 Not Found"),
        http("<html>"),
        http("[]"),
        http('"stopped"'),
        http("{}"),
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
    ],
    ids=["403", "404", "html", "list", "word", "empty", "redirect", "ssh", "silence", "short"],
)
def test_whatever_else_answers_is_no_drained_service(call: Call, answering: Answering, answer: bytes) -> None:
    ended = call("stop", "--url", answering(answer), "--timeout", "1")
    assert (ended.code, ended.output, len(ended.problems)) == (1, "", 1)


def test_a_stop_that_was_not_clean_is_not_exit_0(start_process: Start, call: Call) -> None:
    clean_up = '\n@service.startup_job\nasync def resource():\n    yield 1\n    raise RuntimeError("stuck")\n'
    process = start_process(PROGRAM + clean_up).wait_ready()
    ended = call("stop", "--url", process.management_url)
    assert process.wait() == 70
    assert ended.code != 0
    assert json.loads(ended.output)["status"] == "stopped"
