"""The image of the search service, by its own Dockerfile, on the Python that the Dockerfile names."""

import json
import re
from collections.abc import Iterator

import pytest
from container import Container, get
from podman import ROOT, UV, Podman, missing

SEARCH = "/flights?origin=JFK&destination=PBI&date=2013-07-04"
DOCKERFILE = ROOT / "examples" / "search-service" / "Dockerfile"


@pytest.fixture
def container() -> Iterator[Container]:
    """A container of it, with nothing but its defaults."""
    podman, tag = Podman(), "registry.intra/search-service:test"
    podman.build_search_service(tag)
    started = Container(tag)
    yield started
    started.remove()
    podman.run("rmi", "--force", tag)


def python_of_the_image() -> str:
    found = re.search(r"^ARG PYTHON_IMAGE=.*/python:([0-9]+\.[0-9]+)", DOCKERFILE.read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.skipif(not UV.exists(), reason="there is no uv beside this Python: ./dev test brings one")
@pytest.mark.timeout(900)
@pytest.mark.alone
def test_it_starts_and_answers_a_search_on_the_python_of_its_dockerfile(container: Container) -> None:
    container.wait_ready()
    assert get(f"http://127.0.0.1:{container.port}{SEARCH}")["total"] == 4
    assert get(f"http://127.0.0.1:{container.management}/info")["python"].startswith(f"{python_of_the_image()}.")
    stopped = container.execute("./stop_helper.sh")
    assert stopped.returncode == 0, stopped
    assert json.loads(stopped.stdout)["status"] == "stopped"
    assert container.wait() == 0


def test_ci_runs_its_tests_on_the_python_of_its_dockerfile() -> None:
    run = (ROOT / ".ci" / "run").read_text()
    on = re.findall(r"^ *test_on (\S+) examples/search-service/tests\b", run, re.MULTILINE)
    assert on == [python_of_the_image()]
