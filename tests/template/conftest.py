"""What the template's tests share: services made once for each set of options, and a PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rendered import Rendered, render
from servers import postgres


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Rendered]:
    """A service of these options, which no test may change."""
    made: dict[tuple[str, str, str], Rendered] = {}

    def get(database: str, client: str, framework: str = "starlette") -> Rendered:
        if (database, client, framework) not in made:
            folder = tmp_path_factory.mktemp("rendered")
            answers = (f"database={database}", f"client={client}", f"framework={framework}")
            made[database, client, framework] = render(folder, f"shop-{database}-{client}", *answers)
        return made[database, client, framework]

    return get


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Rendered]:
    """Makes a service of a name and other answers, which the test may change."""

    def made(name: str, *answers: str) -> Rendered:
        return render(tmp_path, name, *answers)

    return made


@pytest.fixture(scope="module")
def postgresql_url() -> Iterator[str]:
    """The URL of a PostgreSQL database."""
    with postgres() as server:
        yield server.url().replace("postgresql:", "postgresql+asyncpg:")
