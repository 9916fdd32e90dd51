"""`lmservice top`: of one instance or many, once or until it is left, in a terminal of any width."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import LMSERVICE, PROGRAM, lmservice
from processes import TIMEOUT, ServiceProcess, environment, free_port

pytest.importorskip("rich", reason="rich is not installed: the extra lmservice[top] brings it")
SERVICE = PROGRAM.replace("routes=[]", "routes=[Route('/hello', hello)]").replace(
    "service =",
    "from starlette.responses import PlainTextResponse\nfrom starlette.routing import Route\n"
    "async def hello(request): return PlainTextResponse('hello')\nservice =",
)


@pytest.fixture
def service(start_process: Any) -> Any:
    return start_process(SERVICE).wait_ready()


def test_once_prints_what_is_going_on(service: Any, tmp_path: Path) -> None:
    urllib.request.urlopen(f"{service.url}/hello", timeout=20).close()
    ended = lmservice("top", "--once", service.management_url, folder=tmp_path, settings={"COLUMNS": "100"})
    assert ended.code == 0, ended.said
    assert "program" in ended.output
    assert "ready" in ended.output
    assert re.search(r"GET /hello +[\d.]+ +0 %", ended.output), ended.output


def test_the_default_is_the_service_on_this_machine(service: Any, tmp_path: Path) -> None:
    settings = {"LM_MANAGEMENT_PORT": str(service.management_port)}
    assert lmservice("top", "--once", folder=tmp_path, settings=settings).code == 0


def test_services_are_named_as_they_run(tmp_path: Path) -> None:
    names = (f"shop-{free_port()}", f"stock-{free_port()}")
    with contextlib.ExitStack() as running:
        for name in names:
            (tmp_path / name).mkdir()
            program = SERVICE.replace('Service("program"', f'Service("{name}"')
            running.enter_context(ServiceProcess(program, folder=tmp_path / name)).wait_ready()
        ended = lmservice("top", "--once", *names, folder=tmp_path, settings={"COLUMNS": "120"})
        assert ended.code == 0, ended.said
        assert all(name in ended.output for name in names)
        bare = lmservice("top", "--once", folder=tmp_path, settings={"COLUMNS": "120", "LM_MANAGEMENT_PORT": ""})
        assert all(name in bare.output for name in names)
        refused = lmservice("top", "--once", "nonesuch", folder=tmp_path).problem
    assert "no service called 'nonesuch' runs here" in refused
    assert all(name in refused for name in names)


def test_no_line_is_wider_than_a_narrow_terminal(service: Any, tmp_path: Path) -> None:
    ended = lmservice("top", "--once", service.management_url, folder=tmp_path, settings={"COLUMNS": "40"})
    assert ended.code == 0, ended.said
    assert max(map(len, ended.output.splitlines())) <= 40


def test_an_instance_that_is_not_there_is_named_beside_those_that_are(service: Any, tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    urls = [service.management_url, nobody]
    ended = lmservice("top", "--once", *urls, folder=tmp_path, settings={"COLUMNS": "120"})
    assert ended.code == 1
    assert re.search(rf"{nobody} +no answer .*{nobody}: Connection refused", ended.output), ended.output
    assert "ready" in ended.output


def test_the_services_own_url_is_told_from_the_management_listeners(service: Any, tmp_path: Path) -> None:
    ended = lmservice("top", "--once", service.url, folder=tmp_path, settings={"COLUMNS": "200"})
    assert ended.code == 1
    assert "it answered 404: this is no management listener" in " ".join(ended.output.split())


FAILING = """
import asyncio
from lmservice import Service

service = Service("failing", routes=[])
attempts = []

@service.startup_job(attempts=2)
async def database(state):
    attempts.append(None)
    await asyncio.sleep(0 if len(attempts) == 1 else 60)
    raise ConnectionRefusedError("db.intra refused")
"""


def test_a_start_that_fails_and_is_tried_again_says_why(start_process: Any, tmp_path: Path) -> None:
    service = start_process(FAILING)
    service.event("lmservice.startup_job_retry")
    ended = lmservice("top", "--once", service.management_url, folder=tmp_path, settings={"COLUMNS": "100"})
    assert re.search(r"database, attempt [12] of 2: ConnectionRefusedError: db.intra refused", ended.output)


def test_each_of_several_workers_has_a_line(start_process: Any, tmp_path: Path) -> None:
    service = start_process(SERVICE, settings={"LM_WORKERS": "2"}).wait_ready()
    ended = lmservice("top", "--once", service.management_url, folder=tmp_path, settings={"COLUMNS": "100"})
    first, second = service.manage("/readyz")[1]["workers"]
    for each in (first, second):
        assert re.search(rf"{each['worker']} +ready +[\d.]+ +0 +{each['pid']}", ended.output), ended.output
    assert "died" not in ended.output
    os.kill(second["pid"], signal.SIGKILL)
    service.event("lmservice.worker_replaced")
    for columns in ("76", "60"):
        ended = lmservice("top", "--once", service.management_url, folder=tmp_path, settings={"COLUMNS": columns})
        assert re.search(r"^2 .* 1x, SIGKILL, \d+ s ago", ended.output, re.MULTILINE), ended.output


@pytest.mark.parametrize("url", ["https://localhost:8002", "http://", "http://localhost:port"])
def test_what_is_no_url_is_refused_in_a_line(url: str, tmp_path: Path) -> None:
    ended = lmservice("top", "--once", url, folder=tmp_path)
    assert url in ended.problem


def test_without_rich_it_names_the_extra_that_brings_it(tmp_path: Path) -> None:
    (tmp_path / "rich.py").write_text("raise ImportError('no rich')\n")
    ended = lmservice("top", "--once", folder=tmp_path, settings={"PYTHONPATH": str(tmp_path)})
    assert "lmservice[top]" in ended.problem


class Terminal:
    """`lmservice top` in a terminal of its own."""

    def __init__(self, *urls: str) -> None:
        self._keyboard, screen = pty.openpty()
        self.process = subprocess.Popen(
            [LMSERVICE, "top", *urls],
            stdin=screen,
            stdout=screen,
            stderr=screen,
            env=environment({"TERM": "xterm", "COLUMNS": "100", "LINES": "30"}),
            start_new_session=True,
        )
        os.close(screen)
        os.set_blocking(self._keyboard, False)

    def wait_for(self, text: str) -> None:
        seen, end = "", time.monotonic() + TIMEOUT
        while text not in seen:
            assert time.monotonic() < end, seen[-2000:]
            try:
                seen += os.read(self._keyboard, 65_536).decode(errors="replace")
            except BlockingIOError:
                time.sleep(0.05)

    def press(self, key: bytes) -> None:
        os.write(self._keyboard, key)

    def left(self) -> int:
        """The exit code, once it ends; a screen that nobody reads would hold it up."""
        end = time.monotonic() + TIMEOUT
        while self.process.poll() is None:
            assert time.monotonic() < end
            with contextlib.suppress(OSError):
                os.read(self._keyboard, 65_536)
            time.sleep(0.01)
        return int(self.process.returncode)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._keyboard)


@pytest.fixture
def terminal() -> Iterator[Any]:
    opened: list[Terminal] = []

    def start(*urls: str) -> Terminal:
        opened.append(Terminal(*urls))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def test_q_leaves_and_so_does_ctrl_c(service: Any, terminal: Any) -> None:
    for leave in ("q", "SIGINT"):
        watching = terminal(service.management_url)
        watching.wait_for("ready")
        if leave == "q":
            watching.press(b"q")
        else:
            watching.process.send_signal(signal.SIGINT)
        assert watching.left() == 0


def test_it_follows_an_instance_that_goes_away_and_comes_back(start_process: Any, terminal: Any) -> None:
    settings = {"LM_MANAGEMENT_PORT": str(free_port())}
    service = start_process(SERVICE, settings=settings).wait_ready()
    watching = terminal(service.management_url)
    watching.wait_for("ready")
    service.signal(signal.SIGTERM)
    watching.wait_for("stopped")
    assert service.wait() == 0
    start_process(SERVICE, settings=settings).wait_ready()
    watching.wait_for("ready")
