"""A carbon for each test, and the service that pushes to it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from carbon import INSTALLED, Carbon
from processes import ServiceProcess

PROGRAM = Path(__file__).parents[2] / "harness" / "graphite_program.py"


@pytest.fixture
def carbon(tmp_path: Path) -> Iterator[Carbon]:
    """A carbon that has not been started."""
    if not INSTALLED:
        pytest.skip("carbon-cache is not installed (Debian: graphite-carbon)")
    folder = tmp_path / "carbon"
    folder.mkdir()
    carbon = Carbon(folder)
    yield carbon
    carbon.stop()


@pytest.fixture
def pushing(start_process: Callable[..., ServiceProcess]) -> Callable[..., ServiceProcess]:
    """Starts the service; settings by their names without the prefix."""

    def started(url: str, **settings: str) -> ServiceProcess:
        given = {"GRAPHITE_URL": url, "GRAPHITE_INTERVAL": "0.5", "INSTANCE": "one", **settings}
        many = given.pop("MANY", "0")
        variables = {f"LM_{name}": value for name, value in given.items()} | {"MANY": many}
        return start_process(PROGRAM, settings=variables).wait_ready()

    return started
