"""The image of a service of the template: built, run with a root file system that nobody can write, stopped."""

import json
from collections.abc import Iterator

import pytest
from container import Container, get
from podman import Podman, missing
from rendered import BIN, ROOT, TEMPLATE, render, run

pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.skipif(not (BIN / "uv").exists(), reason="there is no uv beside this Python: ./dev test brings one"),
    pytest.mark.timeout(900),
    pytest.mark.alone,  # one image for all of them, and a figure
]

STARTS_WITHIN = 15
"""From `podman run` to ready, in seconds: half a second where nothing else runs."""


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
def container(image: str) -> Iterator[Container]:
    """A container of the image."""
    started = Container(image, LM_DATABASE_URL="sqlite+aiosqlite:////tmp/shop.db")
    yield started
    started.remove()


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
