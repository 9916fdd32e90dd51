"""`stop_helper.sh` for real: with every program that it may find, against a service that drains."""

import shutil
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import TIMEOUT, ServiceProcess, free_port
from rendered import BIN, Rendered

PROGRAM = """
import asyncio, os
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from lmservice import Service

async def slow(request: Request) -> PlainTextResponse:
    await asyncio.sleep(30)
    return PlainTextResponse("slept")

service = Service("stopped", routes=[Route("/slow", slow)])

@service.startup_job
async def breaking():
    yield
    if os.environ.get("BREAKS"):
        raise RuntimeError("the clean-up failed")
"""
DRAIN = {"LM_ENVIRONMENT": "qa", "LM_DRAIN_DELAY": "0.5", "LM_DRAIN_QUIET": "0.1", "LM_DRAIN_TIMEOUT": "1"}
WAYS = ("wget", "busybox as wget", "busybox", "lmservice", "python3", "python")


def gnu_wget() -> str | None:
    """GNU's wget, where `wget` is that."""
    found = shutil.which("wget")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout if found else ""
    return found if "GNU Wget" in said else None


@pytest.fixture(scope="module")
def helper(rendered: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script in a folder of its own, which nobody can write."""
    service: Rendered = rendered("none", "no")
    folder = tmp_path_factory.mktemp("app")
    script = Path(shutil.copy2(service.folder / "stop_helper.sh", folder))
    folder.chmod(0o555)
    return script


@pytest.fixture
def path(way: str, tmp_path: Path) -> str:
    """A PATH on which there is nothing but lmservice and what the way needs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    if way.startswith("python"):
        folder.joinpath(way).symlink_to(sys.executable)
        return str(folder)
    folder.joinpath("lmservice").symlink_to(BIN / "lmservice")
    program = gnu_wget() if way == "wget" else shutil.which("busybox") if way != "lmservice" else None
    if way != "lmservice":
        if program is None:
            pytest.skip(f"no {way} on this machine: .ci/run installs it")
        folder.joinpath("busybox" if way == "busybox" else "wget").symlink_to(program)
    return str(folder)


def stop(helper: Path, path: str, port: int, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Runs the script as a preStop hook does: in its folder, by its relative name."""
    return subprocess.run(
        [f"./{helper.name}"],
        cwd=helper.parent,
        env={"PATH": path, "LM_MANAGEMENT_PORT": str(port), **variables},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.fixture
def process(start_process: Any) -> ServiceProcess:
    """A service that has a drain."""
    started: ServiceProcess = start_process(PROGRAM, settings=DRAIN)
    return started.wait_ready()


@pytest.mark.parametrize("way", WAYS)
def test_it_waits_for_the_drain_through_a_proxy_that_is_set_and_writes_nothing(
    way: str, helper: Path, path: str, process: ServiceProcess
) -> None:
    del way
    proxy = f"http://127.0.0.1:{free_port()}"
    stopped = stop(helper, path, process.management_port, http_proxy=proxy, HTTP_PROXY=proxy, ALL_PROXY=proxy)
    assert stopped.returncode == 0, stopped
    assert '"status"' in stopped.stdout
    assert '"stopped"' in stopped.stdout
    assert process.wait() == 0
    assert [each.name for each in helper.parent.iterdir()] == [helper.name]


@pytest.mark.parametrize("way", ["wget", "busybox as wget", "busybox"])
def test_wget_alone_is_enough(way: str, helper: Path, path: str, process: ServiceProcess) -> None:
    del way
    Path(path, "lmservice").unlink()
    stopped = stop(helper, path, process.management_port)
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert process.wait() == 0


def test_with_nothing_to_ask_by_it_says_so(helper: Path, tmp_path: Path) -> None:
    stopped = stop(helper, str(tmp_path), free_port())
    assert stopped.returncode == 127
    assert "neither wget, lmservice nor Python on PATH" in stopped.stderr


@pytest.mark.parametrize("way", WAYS)
def test_its_exit_code_is_the_drains(way: str, helper: Path, path: str, start_process: Any) -> None:
    del way
    process = start_process(PROGRAM, settings={**DRAIN, "BREAKS": "1"}).wait_ready()
    assert stop(helper, path, process.management_port).returncode == 70
    assert process.wait() == 70


@pytest.mark.parametrize("way", WAYS)
def test_where_nothing_answers_it_says_so(way: str, helper: Path, path: str) -> None:
    del way
    stopped = stop(helper, path, free_port())
    assert stopped.returncode == 1
    assert "does not answer as a management listener" in stopped.stderr


def test_its_port_is_8002_where_none_is_set(helper: Path) -> None:
    assert "LM_MANAGEMENT_PORT:-8002" in helper.read_text()


@pytest.fixture
def stranger() -> Iterator[int]:
    """The port of something that answers 200 to everything, and is no lmservice."""

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize("way", WAYS)
def test_what_answers_as_no_service_is_no_clean_stop(way: str, helper: Path, path: str, stranger: int) -> None:
    del way
    stopped = stop(helper, path, stranger)
    assert stopped.returncode == 1
    assert "no report" in stopped.stderr


def test_any_posix_shell_understands_it(helper: Path) -> None:
    shells = [["dash", "-n"], ["busybox", "sh", "-n"], ["bash", "--posix", "-n"]]
    present = [shell for shell in shells if shutil.which(shell[0])]
    assert present
    for shell in present:
        ran = subprocess.run([*shell, str(helper)], capture_output=True, text=True, timeout=20, check=False)
        assert (ran.returncode, ran.stderr) == (0, "")
