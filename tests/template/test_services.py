"""A service of each set of options is right as it was made: linted, typed, tested, and it lives a whole life."""

import json
import shutil
import urllib.request
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from processes import TIMEOUT, ServiceProcess
from rendered import FRAMEWORKS, WRITTEN, WRITTEN_IDS, Rendered, run

EACH = pytest.mark.parametrize(("database", "client", "framework"), WRITTEN, ids=WRITTEN_IDS)
TYPED = ["deploy"] if find_spec("lmservice.deploy") else []


@pytest.fixture(scope="module")
def typing_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mypy knows of packages that several services use."""
    return tmp_path_factory.mktemp("mypy")


@EACH
def test_it_passes_ruff_and_mypy_as_made(
    rendered: Any, database: str, client: str, framework: str, typing_cache: Path
) -> None:
    service: Rendered = rendered(database, client, framework)
    for words in (("check", "--no-cache", "."), ("format", "--no-cache", "--check", ".")):
        linted = service.tool("ruff", *words)
        assert linted.returncode == 0, linted.stdout
    typed = service.tool("mypy", f"--cache-dir={typing_cache}", service.package, "tests", *TYPED)
    assert typed.returncode == 0, typed.stdout


@EACH
def test_it_passes_its_own_tests_as_made(
    rendered: Any, database: str, client: str, framework: str, request: pytest.FixtureRequest
) -> None:
    service: Rendered = rendered(database, client, framework)
    url = request.getfixturevalue("postgresql_url") if database == "postgresql" else ""
    ran = service.tool("pytest", "-q", "-p", "no:cacheprovider", TEST_DATABASE_URL=url)
    assert ran.returncode == 0, ran.stdout
    assert "skipped" not in ran.stdout
    assert " passed" in ran.stdout


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("database", ["none", "sqlite", "postgresql"])
def test_lmservice_finds_nothing_to_mend_in_it(rendered: Any, database: str, framework: str) -> None:
    service: Rendered = rendered(database, "yes", framework)
    checked = service.tool("lmservice", "check", f"{service.package}:service")
    assert checked.returncode == 0, checked.stdout


@EACH
def test_it_starts_serves_and_drains(
    rendered: Any, database: str, client: str, framework: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    service: Rendered = rendered(database, client, framework)
    settings = service.variables | {"LM_ENVIRONMENT": "qa", "LM_DRAIN_DELAY": "0.2", "LM_DRAIN_QUIET": "0.1"}
    if database == "postgresql":
        settings["LM_DATABASE_URL"] = request.getfixturevalue("postgresql_url")
    with ServiceProcess(f"from {service.package} import service", folder=tmp_path, settings=settings) as process:
        process.wait_ready()
        assert get(f"{process.url}/greetings/Ada") == {"greeting": "hello, Ada"}
        if database != "none":
            number = get(f"{process.url}/notes", json.dumps({"text": "kept"}).encode())["number"]
            assert get(f"{process.url}/notes/{number}")["text"] == "kept"
        assert process.stop()["exit_code"] == 0
        assert process.wait() == 0


def get(url: str, body: bytes | None = None) -> dict[str, Any]:
    """A JSON answer."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def test_a_database_that_is_not_there_is_named_and_its_password_is_not(rendered: Any, tmp_path: Path) -> None:
    service: Rendered = rendered("postgresql", "no")
    url = "postgresql+asyncpg://shop:hush-hush@127.0.0.1:9/shop"
    settings = service.variables | {"LM_DATABASE_URL": url, "LM_STARTUP_TIMEOUT": "3"}
    with ServiceProcess(f"from {service.package} import service", folder=tmp_path, settings=settings) as process:
        assert process.wait() == 3
    assert "schema" in "\n".join(process.output)
    assert "hush-hush" not in "\n".join(process.output)


def test_other_ports_are_those_of_settings_manifests_and_helper(make: Callable[..., Rendered]) -> None:
    service = make("ports", "__service_port=9081", "__management_port=9002")
    linted = service.tool("ruff", "check", "--no-cache", ".")
    assert linted.returncode == 0, linted.stdout
    assert service.tool("ruff", "format", "--no-cache", "--check", ".").returncode == 0
    shown = service.tool("lmservice", "config", "ports:service", "--format", "json").stdout
    settings = json.loads(shown)
    assert (settings["port"]["value"], settings["management_port"]["value"]) == (9081, 9002)
    assert service.tool("lmservice", "config", "ports:service", "--format", "env").stdout == (
        (service.folder / ".env.example").read_text()
    )
    assert "containerPort: 9002" in (service.folder / "deploy/base/deployment.yaml").read_text()
    assert ":-9002}" in (service.folder / "stop_helper.sh").read_text()


@pytest.mark.parametrize("name", ["a", "shop", "one-very-long-name-of-forty-characters-x"])
def test_its_form_does_not_hang_on_its_name(name: str, make: Callable[..., Rendered]) -> None:
    service = make(name, "database=postgresql", "client=yes", "description=It's 100 % of $HOME & <more>")
    for words in (("check", "--no-cache", "."), ("format", "--no-cache", "--check", ".")):
        linted = service.tool("ruff", *words)
        assert linted.returncode == 0, linted.stdout


def test_alembic_itself_finds_its_migrations(rendered: Any, tmp_path: Path) -> None:
    made: Rendered = rendered("sqlite", "no")
    service = Rendered(Path(shutil.copytree(made.folder, tmp_path / made.name)), made.home)
    url = f"sqlite+aiosqlite:///{tmp_path}/alembic.db"
    upgraded = service.tool("alembic", "upgrade", "head", LM_DATABASE_URL=url)
    assert upgraded.returncode == 0, upgraded.stdout
    revised = service.tool("alembic", "check", LM_DATABASE_URL=url)
    assert revised.returncode == 0, revised.stdout
    written = service.tool("alembic", "revision", "-m", "nothing", LM_DATABASE_URL=url)
    assert written.returncode == 0, written.stdout
    assert len(list((service.folder / service.package / "migrations" / "versions").glob("*_nothing.py"))) == 1


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
def test_its_make_file_tells_its_words(rendered: Any) -> None:
    service: Rendered = rendered("postgresql", "no")
    listed = run(["make"], service.folder, service.variables)
    assert listed.returncode == 0, listed.stdout
    for word in ("serve", "test", "check", "manifests", "env", "database", "image", "release"):
        assert f"make {word}\t" in listed.stdout
