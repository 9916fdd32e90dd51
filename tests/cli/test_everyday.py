"""The commands and habits of every day: bare `lmservice`, the project's own service, routes, completion, doctor."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Ended
from processes import free_port

from lmservice.cli.parser import main

PROGRAM = """
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute
from lmservice import Service

async def hello(request): return Response()
async def talk(websocket): ...
service = Service("shop", routes=[
    Route("/hello/{name}", hello),
    Route("/hello", hello, methods=["POST"]),
    Mount("/admin", routes=[Route("/users/{id:int}", hello, methods=["GET", "DELETE"])]),
    WebSocketRoute("/talk", talk),
])
"""


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """`lmservice` in a folder that has a service, whose pyproject.toml is a test's to write."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / f"{tmp_path.name}_program.py").write_text(PROGRAM)

    def called(*words: str) -> Ended:
        code = main([*words])
        said = capfd.readouterr()
        return Ended(code, said.out, said.err)

    return called


def own(tmp_path: Path) -> str:
    """Where that service is."""
    return f"{tmp_path.name}_program:service"


def test_lmservice_alone_is_the_help(call: Callable[..., Ended]) -> None:
    said = call()
    assert (said.code, said.output) == (2, "")
    assert "verify-drain" in said.errors


def test_a_projects_service_needs_no_naming(call: Callable[..., Ended], tmp_path: Path) -> None:
    Path("pyproject.toml").write_text(f'[tool.lmservice]\nservice = "{own(tmp_path)}"\n')
    for command in ("check", "config", "routes"):
        assert call(command).code == 0
    assert "nonesuch" in call("check", "nonesuch:service").problem


@pytest.mark.parametrize("project", [None, "", "[tool]\nlmservice = 1\n", "[tool.lmservice]\nservice = 1\n"])
def test_without_a_service_in_the_project_it_asks_for_one(call: Callable[..., Ended], project: str | None) -> None:
    if project is not None:
        Path("pyproject.toml").write_text(project)
    said = call("check")
    assert said.code == 2
    assert "which service?" in said.problem
    assert "[tool.lmservice]" in said.problem


def test_a_project_that_cannot_be_read_is_told(call: Callable[..., Ended]) -> None:
    Path("pyproject.toml").write_text("[tool")
    assert "pyproject.toml cannot be read" in call("run").problem


def test_routes_are_listed_with_those_of_mounts(call: Callable[..., Ended], tmp_path: Path) -> None:
    said = call("routes", own(tmp_path))
    module = f"{tmp_path.name}_program"
    assert [line.split() for line in said.output.splitlines()] == [
        ["GET", "/hello/{name}", f"{module}.hello"],
        ["POST", "/hello", f"{module}.hello"],
        ["DELETE,GET", "/admin/users/{id}", f"{module}.hello"],
        ["WS", "/talk", f"{module}.talk"],
    ]


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash here")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("lmservice ver", "verify-drain"),
        ("lmservice config --format mark", "markdown"),
        ("lmservice run --re", "--reload"),
    ],
)
def test_bash_completes_what_is_typed(call: Callable[..., Ended], tmp_path: Path, typed: str, completed: str) -> None:
    (tmp_path / "completion").write_text(call("completion", "bash").output)
    words = typed.split()
    ask = (
        f"source ./completion; COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _lmservice; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    ran = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout.split() == [completed]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_understand_their_script(call: Callable[..., Ended], shell: str) -> None:
    script = call("completion", shell).output
    assert "verify-drain" in script
    assert "worker" not in script.split()
    if shutil.which(shell):
        ran = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, timeout=30, check=False)
        assert (ran.returncode, ran.stderr) == (0, "")


def test_the_doctor_tells_what_is_there_and_what_must_be_mended(
    call: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no kubectl, which would look for a cluster
    monkeypatch.setenv("LM_PORT", str(free_port()))
    monkeypatch.setenv("LM_MANAGEMENT_PORT", "0")
    said = call("doctor", own(tmp_path))
    assert said.code == 0
    assert f"ok {own(tmp_path)}" in said.output
    assert "-  kubectl" in said.output
    Path("pyproject.toml").write_text(f'[tool.lmservice]\nservice = "{own(tmp_path)}"\n')
    assert f"ok {own(tmp_path)}" in call("doctor").output
    monkeypatch.setenv("LM_DRAIN_TIMEOUT", "soon")
    said = call("doctor", own(tmp_path))
    assert said.code == 1
    assert "LM_DRAIN_TIMEOUT" in said.output
