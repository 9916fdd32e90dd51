"""What is published, the wheel and the sdist: what is in them, and that each works where it is installed."""

import base64
import csv
import hashlib
import json
import signal
import sysconfig
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from distributions import BUILDS, ROOT, build, environment_of
from processes import TIMEOUT, Process
from rendered import BIN, IDS, OPTIONS, configured, files, render, run
from strict_client import Connection
from test_package import UNWANTED, python
from web.test_apps import HELLO

import lmservice

pytestmark = [BUILDS, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("sdist"), "sdist")


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment that has one of them, compiled as pip does; the rest is this one's, so offline."""
    place = tmp_path_factory.mktemp("installed") / "venv"
    commands = environment_of(place, "--no-deps", "--compile-bytecode", str(request.getfixturevalue(request.param)))
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib"))
    return commands


def test_what_is_installed_is_imported_without_the_tree_and_without_the_extras(installed: Path, tmp_path: Path) -> None:
    code = "import sys, lmservice; from lmservice import Service, Settings; print(lmservice.__file__, *sys.modules)"
    home, *loaded = run([str(installed / "python"), "-c", code], tmp_path, {}).stdout.split()
    assert Path(home).is_relative_to(installed.parent)
    assert not {name.partition(".")[0] for name in loaded} & set(UNWANTED)


def test_the_installed_command_says_its_version(installed: Path, tmp_path: Path) -> None:
    said = run([str(installed / "lmservice"), "--version"], tmp_path, {})
    assert (said.returncode, said.stdout) == (0, f"lmservice {lmservice.__version__}\n")


def test_all_of_what_is_installed_can_be_compiled(installed: Path, tmp_path: Path) -> None:
    (package,) = installed.parent.glob("lib/python*/site-packages/lmservice")
    said = run([str(installed / "python"), "-m", "compileall", "-q", "-f", str(package)], tmp_path, {})
    assert (said.returncode, said.stdout) == (0, "")


@pytest.mark.parametrize(("database", "client"), OPTIONS, ids=IDS)
def test_what_is_installed_makes_the_service_that_the_tree_makes(
    installed: Path, tmp_path: Path, database: str, client: str
) -> None:
    (tmp_path / "theirs").mkdir()
    answers = f"database={database}", f"client={client}"
    command = [str(installed / "lmservice"), "new", "theirs", "--no-input", "project_name=shop", *answers]
    made = run(command, tmp_path, configured(tmp_path))
    assert made.returncode == 0, made.stdout
    (carried,) = (tmp_path / "theirs" / "shop" / "wheels").glob("*.whl")
    carried.unlink()  # which the cookiecutter command does not take along
    assert files(tmp_path / "theirs" / "shop") == files(render(tmp_path, "shop", *answers).folder)


def test_the_wheel_that_a_new_service_takes_along_is_the_one_that_was_installed(
    installed: Path, wheel: Path, tmp_path: Path
) -> None:
    carried = taken_along(installed, tmp_path)
    assert (carried.name, contents(carried)) == (wheel.name, contents(wheel))
    assert (environment_of(tmp_path / "venv", "--no-deps", str(carried)) / "lmservice").is_file()


def test_from_the_tree_a_new_service_takes_along_what_would_be_built(wheel: Path, tmp_path: Path) -> None:
    carried, built = contents(taken_along(BIN, tmp_path)), contents(wheel)
    metadata = f"lmservice-{lmservice.__version__}.dist-info/METADATA"  # has README.md as it was at the installation
    assert carried.pop(metadata).splitlines()[:3] == built.pop(metadata).splitlines()[:3]
    assert carried == built


def taken_along(commands: Path, folder: Path) -> Path:
    """The wheel in a new service that one of these commands has made."""
    made = run([str(commands / "lmservice"), "new", "shop", "--no-input"], folder, configured(folder))
    assert made.returncode == 0, made.stdout
    (carried,) = (folder / "shop" / "wheels").glob("*.whl")
    return carried


def contents(wheel: Path) -> dict[str, bytes]:
    """What is in a wheel, but for what tells who built it; each file is as its RECORD says."""
    archive = zipfile.ZipFile(wheel)
    inside = {name: archive.read(name) for name in archive.namelist()}
    (record,) = (name for name in inside if name.endswith("/RECORD"))
    for name, digest, size in csv.reader(inside[record].decode().splitlines()):
        if name != record:
            found = base64.urlsafe_b64encode(hashlib.sha256(inside[name]).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={found}", str(len(inside[name]))), name
    return {name: content for name, content in inside.items() if not name.endswith(("/RECORD", "/WHEEL"))}


def test_the_sdist_has_every_file_of_the_wheel(wheel: Path, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.replace("lmservice/templates/", "templates/", 1) for name in shipped} <= packed
    assert {"pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md"} <= packed


def test_the_wheel_has_the_package_and_nothing_beside_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "lmservice/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"lmservice"}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "lmservice").rglob("*.py")}
    assert sources <= set(names)
    assert {f"lmservice/console/page/console.{kind}" for kind in ("html", "css", "js")} <= set(names)
    assert not [name for name in names if name.endswith(".pyc")]
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert f"lmservice-{lmservice.__version__}" in wheel.name


def test_the_wheel_installs_alone_and_runs_the_hello_program(wheel: Path, tmp_path: Path) -> None:
    commands = environment_of(tmp_path / "venv", str(wheel))
    code = "from importlib.metadata import distributions as d; print(*(each.name for each in d()))"
    installed = set(python(code, interpreter=commands / "python").split())
    assert {"lmservice", "starlette", "uvicorn", "structlog", "tenacity", "pydantic-settings"} <= installed
    assert not installed & set(UNWANTED) - {"click"}  # uvicorn's own
    (tmp_path / "hello.py").write_text(HELLO)
    settings = {"LM_PORT": "0", "LM_MANAGEMENT_PORT": "0", "LM_LOG_FORMAT": "json"}
    command = [str(commands / "lmservice"), "run", "hello:service"]
    with Process(command, folder=tmp_path, settings=settings) as process:
        url = str(ready(process)["url"])
        with Connection(int(url.rpartition(":")[2])) as connection:
            assert connection.request("/hello/world").body == b'{"hello":"world"}'
        process.signal(signal.SIGTERM)
        assert process.wait() == 0


def ready(process: Process) -> dict[str, object]:
    """The event of a process that has got ready, waited for."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        for line in process.output:
            if '"lmservice.ready"' in line:
                event: dict[str, object] = json.loads(line)
                return event
        time.sleep(0.02)
    raise TimeoutError("\n".join(process.output))
