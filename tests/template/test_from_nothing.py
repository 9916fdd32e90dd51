"""From nothing to a service that runs, answers, is probed and has drained: the wheel, one command, one word."""

import os
import shutil
import time
from pathlib import Path

import pytest
from processes import Process, ServiceProcess
from template.rendered import BIN, ROOT, configured, files, render, run
from template.test_services import get

UV = BIN / "uv"
LIMIT = 30
"""What it may take with a warm cache of packages, in seconds."""

pytestmark = [
    pytest.mark.skipif(not UV.exists(), reason="there is no uv beside this Python: ./dev test brings one"),
    pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine: .ci/run installs it"),
    pytest.mark.timeout(600),
    pytest.mark.alone,
]


class MakeServe(ServiceProcess):
    """`make serve` in a service's folder, which sets up first."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        Process.__init__(self, ["make", "--silent", "serve"], folder=folder, settings=variables)

    def __exit__(self, *error: object) -> None:
        Process.__exit__(self, *error)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with lmservice's wheel."""
    folder = tmp_path_factory.mktemp("wheels")
    built = run([str(UV), "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)], ROOT, {}, 300)
    assert built.returncode == 0, built.stdout
    return folder


@pytest.fixture(scope="module")
def installed(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment into which the wheel is installed, compiled as installers do."""
    place = tmp_path_factory.mktemp("user") / "venv"
    variables = {"UV_FIND_LINKS": str(wheels), "UV_SYSTEM_CERTS": "1"}
    lock = str(ROOT / "requirements.lock")
    install = ["pip", "install", "--quiet", "--compile-bytecode", "--python", str(place), "-c", lock, "lmservice[new]"]
    for words in (["venv", "--quiet", str(place)], install):
        done = run([str(UV), *words], ROOT, variables, 300)
        assert done.returncode == 0, done.stdout
    return place / "bin"


def test_the_installed_wheel_makes_what_the_tree_makes(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    command = [str(installed / "lmservice"), "new", "theirs", "--no-input", "project_name=shop", "database=sqlite"]
    made = run(command, tmp_path, configured(tmp_path))
    assert made.returncode == 0, made.stdout
    assert files(tmp_path / "theirs" / "shop") == files(render(tmp_path, "shop", "database=sqlite").folder)


def test_from_nothing_to_a_drained_service_takes_half_a_minute(
    installed: Path, wheels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    variables = {"UV_FIND_LINKS": str(wheels), "PATH": f"{installed}:{BIN}:{os.environ['PATH']}"}
    begun = time.monotonic()
    for name in ("warm", "shop"):  # the first fills the cache of packages
        begun = time.monotonic()
        command = [str(installed / "lmservice"), "new", "--no-input", f"project_name={name}", "database=sqlite"]
        assert run(command, tmp_path, {**variables, **configured(tmp_path)}).returncode == 0
        settings = {"LM_PORT": "0", "LM_MANAGEMENT_PORT": "0", "LM_LOG_FORMAT": "json", "LM_ENVIRONMENT": "qa"}
        with MakeServe(tmp_path / name, {**variables, **settings}) as service:
            service.event("lmservice.ready", timeout=300)
            assert get(f"{service.url}/greetings/Ada") == {"greeting": "hello, Ada"}
            served = time.monotonic() - begun
            assert [service.probe(path) for path in ("/livez", "/startupz", "/readyz")] == [200, 200, 200]
            assert service.stop()["exit_code"] == 0
            assert service.wait() == 0
    drained = time.monotonic() - begun
    with capsys.disabled():
        print(f"\nfrom nothing: first answer after {served:.1f} s, drained after {drained:.1f} s")  # noqa: T201 - a figure
    assert served < LIMIT
