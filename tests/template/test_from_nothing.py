"""From nothing to a service that runs, answers, is probed and has drained: the wheel, one command, one word."""

import os
import shutil
import time
from pathlib import Path

import pytest
from distributions import BUILDS, build, environment_of
from processes import Process, ServiceProcess
from rendered import BIN, ROOT, configured, run
from template.test_services import get

LIMIT = 30
"""What it may take with a warm cache of packages, in seconds."""

pytestmark = [
    BUILDS,
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
    return build(tmp_path_factory.mktemp("wheels"), "wheel").parent


@pytest.fixture(scope="module")
def installed(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment into which the wheel is installed, compiled as installers do."""
    place = tmp_path_factory.mktemp("user") / "venv"
    lock = str(ROOT / "requirements.lock")
    return environment_of(place, "--compile-bytecode", "-c", lock, "--find-links", str(wheels), "lmservice[new]")


def test_from_nothing_to_a_drained_service_takes_half_a_minute(
    installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    variables = {"PATH": f"{installed}:{BIN}:{os.environ['PATH']}"}
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
