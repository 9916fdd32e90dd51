"""What the acceptance tests share: a service that ends with its test."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from drained_instance import PROGRAM, SETTINGS, Start
from processes import ServiceProcess


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test of this folder."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.acceptance)


@pytest.fixture
def stack() -> dict[str, str]:
    """The settings of parser and loop: the defaults, unless a test is `EACH_STACK`."""
    return {}


@pytest.fixture
def start(stack: dict[str, str]) -> Iterator[Start]:
    """Starts services that are killed after the test; what they said is shown where it fails."""
    with ExitStack() as running:

        def started(**settings: str) -> ServiceProcess:
            process = running.enter_context(ServiceProcess(PROGRAM, settings={**SETTINGS, **stack, **settings}))
            running.callback(lambda: print(*process.output[-100:], sep="\n"))  # noqa: T201 - pytest captures it
            return process.wait_ready()

        yield started


@pytest.fixture
def service(start: Start) -> ServiceProcess:
    """A service with the usual settings, ready."""
    return start()
