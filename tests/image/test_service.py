"""The image of a service of the template: built, run with a root file system that nobody can write, stopped."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from podman import Podman, missing
from processes import TIMEOUT, free_port
from rendered import BIN, ROOT, TEMPLATE, render, run

pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.skipif(not (BIN / "uv").exists(), reason="there is no uv beside this Python: ./dev test brings one"),
    pytest.mark.timeout(900),
    pytest.mark.alone,  # one image for all of them, and a figure
]

STARTS_WITHIN = 15
"""From `podman run` to ready, in seconds: half a second where nothing else runs."""

CONFINED = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--tmpfs=/tmp",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image of a service with a database and a client, as its Dockerfile makes it."""
    folder = tmp_path_factory.mktemp("image")
    service = render(folder, "shop", "database=sqlite", "client=yes")
    wheels = str(service.folder / "wheels")
    built = run([str(BIN / "uv"), "build", "--quiet", "--wheel", "--out-dir", wheels, str(ROOT)], ROOT, {}, 300)
    assert built.returncode == 0, built.stdout
    podman, pins = Podman(), json.loads((TEMPLATE / "cookiecutter.json").read_text())
    python, uv = f"docker.io/library/python:{pins['__python_image']}", f"ghcr.io/astral-sh/uv:{pins['__uv_version']}"
    tag = "registry.intra/shop:test"
    arguments = ["--build-arg=VERSION=0.1.0", "--build-arg=REVISION=abc"]
    podman.build_with_uv(service.folder, tag, *arguments, python=python, uv=uv)
    yield tag
    podman.run("rmi", "--force", tag)


@pytest.fixture
def container(image: str) -> Iterator["Container"]:
    """A container of the image."""
    started = Container(image)
    yield started
    started.remove()


class Container:
    """A container that shares the machine's network, on free ports."""

    def __init__(self, image: str) -> None:
        self._podman = Podman()
        self.port, self.management = free_port(), free_port()
        settings = {
            "LM_PORT": self.port,
            "LM_MANAGEMENT_PORT": self.management,
            "LM_ENVIRONMENT": "qa",
            "LM_DRAIN_DELAY": 0.5,
            "LM_DATABASE_URL": "sqlite+aiosqlite:////tmp/shop.db",
        }
        variables = [word for name, value in settings.items() for word in ("--env", f"{name}={value}")]
        self._begun = time.monotonic()
        self._id = self._podman.run("run", "--detach", "--network=host", *CONFINED, *variables, image).strip()

    def wait_ready(self) -> float:
        """Seconds from the start to readiness."""
        while self._probe() != 200:
            assert time.monotonic() - self._begun < TIMEOUT, self._podman.run("logs", self._id)
            time.sleep(0.01)
        return time.monotonic() - self._begun

    def _probe(self) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.management}/readyz", timeout=5) as answer:
                status: int = answer.status
                return status
        except OSError:
            return 0

    def execute(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """What a command inside of it says."""
        words = self._podman.command("exec", self._id, *command)
        return subprocess.run(
            words, env=self._podman.environment, capture_output=True, text=True, timeout=120, check=False
        )

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return int(self._podman.run("wait", self._id))

    def stop(self) -> None:
        """SIGTERM."""
        self._podman.run("kill", "--signal=TERM", self._id)

    def remove(self) -> None:
        """Ends it, however it is."""
        self._podman.run("rm", "--force", "--time=0", self._id)


def get(url: str) -> Any:
    """A JSON answer."""
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        return json.load(answer)


def test_it_starts_serves_and_drains_by_its_helper_in_a_file_system_that_nobody_can_write(
    container: Container, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = container.wait_ready()
    with capsys.disabled():
        print(f"\nimage: ready {seconds:.2f} s after podman run")  # noqa: T201 - a figure
    assert seconds < STARTS_WITHIN
    assert get(f"http://127.0.0.1:{container.port}/greetings/Ada") == {"greeting": "hello, Ada"}
    said = get(f"http://127.0.0.1:{container.management}/info")
    assert (said["version"], said["revision"]) == ("0.1.0", "abc")
    assert container.execute("id", "-u").stdout.strip() == "65532"
    assert container.execute("touch", "/app/file").returncode != 0
    stopped = container.execute("./stop_helper.sh")
    assert stopped.returncode == 0, stopped
    assert json.loads(stopped.stdout)["status"] == "stopped"
    assert container.wait() == 0


def test_as_process_1_it_heeds_sigterm(container: Container) -> None:
    container.wait_ready()
    container.stop()
    assert container.wait() == 0
