"""Check what has changed since main, and run its unit tests, in under 20 seconds: ./dev quick.

A test that starts a process is skipped where it starts it: those are for ./dev test.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUDGET = 15
"""When the last test may begin, in seconds after the command."""
_PLUGINS = ("tools.without_processes", "anyio.pytest_plugin", "pytest_timeout")  # others take two seconds to import
_SERVING = {"serve", "serve_module", "connect"}
_TYPED = ("lmservice/", "tests/", "tools/", "benchmarks/", "examples/search-service/", "templates/cookiecutter/hooks/")
_GENERATED = "tests/monitoring/test_generated.py"
_GENERATED_FROM = (
    "tools/",
    "lmservice/names.py",
    "lmservice/telemetry/events.py",
    "lmservice/telemetry/life_events.py",
    "lmservice/settings/",
    "lmservice/cli/",
)


def changed_files() -> list[str]:
    """Return the files that differ from where this branch left origin/main, new ones too."""
    base = _git("merge-base", "HEAD", "origin/main") or ["HEAD"]
    tracked = _git("diff", "--name-only", "--diff-filter=d", base[0])
    return sorted({*tracked, *_git("ls-files", "--others", "--exclude-standard")})


def tests_of(paths: Sequence[str]) -> list[str]:
    """Return the test files and folders that these files concern: their package's."""
    wanted = sorted({found for path in paths for found in _tests_of(path)})
    if any(path.startswith(_GENERATED_FROM) for path in paths) and _GENERATED not in wanted:
        wanted.append(_GENERATED)
    return [path for path in wanted if (ROOT / path).exists() and not _within_another(path, wanted)]


def _within_another(path: str, wanted: Sequence[str]) -> bool:
    return any(str(parent) in wanted for parent in Path(path).parents)


def _tests_of(path: str) -> Iterator[str]:
    parts = Path(path).parts
    if path.endswith(".md"):
        yield "tests/test_documentation.py"
    if not path.endswith(".py"):
        return
    if parts[-1].startswith("test_"):
        yield path
    elif parts[0] == "lmservice":
        yield f"tests/{parts[1]}" if len(parts) > 2 else f"tests/test_{parts[1]}"  # noqa: PLR2004 - in a package
    elif parts[:2] == ("examples", "search-service"):
        yield "examples/search-service/tests"
    elif parts[0] == "tests" and parts[-1] == "conftest.py" and len(parts) > 2:  # noqa: PLR2004 - a package's own
        yield str(Path(path).parent)


def checks_of(paths: Sequence[str]) -> list[list[str]]:
    """Return the commands that check these files."""
    sources = [path for path in paths if path.endswith(".py")]
    if not sources:
        return []
    typed = [path for path in sources if path.startswith(_TYPED)]
    return [
        ["ruff", "check", "--quiet", "--force-exclude", *sources],
        ["ruff", "format", "--quiet", "--check", "--force-exclude", *sources],
        *([["mypy", "--no-error-summary", *typed]] if typed else []),
        *([["lint-imports"]] if any(path.startswith("lmservice/") for path in sources) else []),
    ]


class Quick:
    """A plugin of pytest: skips the tests that come after the budget is spent."""

    def __init__(self, began: float) -> None:
        self.late = 0
        self._end = began + BUDGET

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put tests that run a service behind those that need none."""
        items.sort(key=lambda item: bool(_SERVING.intersection(getattr(item, "fixturenames", ()))))

    def pytest_runtest_setup(self) -> None:
        """Skip what begins after the budget."""
        if time.monotonic() > self._end:
            self.late += 1
            pytest.skip("late")


@contextmanager
def running(commands: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """Run these commands beside the block; what it gives has, after the block, what those that failed said."""
    failures: list[str] = []
    outputs = [tempfile.TemporaryFile("w+") for _ in commands]  # noqa: SIM115 - closed below
    started = [
        subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)
        for command, output in zip(commands, outputs, strict=True)
    ]
    yield failures
    for command, process, output in zip(commands, started, outputs, strict=True):
        if process.wait():
            output.seek(0)
            failures.append(f"{' '.join(command[:2])}:\n{output.read()}")
        output.close()


def main() -> int:
    """Run it for the files that are named, or for those that have changed."""
    began = time.monotonic()
    paths = sys.argv[1:] or changed_files()
    tests = tests_of(paths)
    print(f"quick: {len(paths)} files changed; tests: {' '.join(tests) or 'none'}")
    quick, code = Quick(began), 0
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    options = ["-q", "-r", "fE", "--failed-first", *(f"-p{name}" for name in _PLUGINS)]
    with running(checks_of(paths)) as failures:
        if tests:
            code = pytest.main([*options, *tests], plugins=[quick])
    print(*failures, sep="\n", end="" if failures else "\r")
    if quick.late:
        print(f"quick: {quick.late} tests did not fit into {BUDGET} s: ./dev run pytest {' '.join(tests)}")
    empty = code == pytest.ExitCode.NO_TESTS_COLLECTED
    return 1 if failures else 0 if empty else int(code)


def _git(*words: str) -> list[str]:
    ran = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return ran.stdout.split("\n")[:-1] if ran.returncode == 0 else []


if __name__ == "__main__":
    sys.exit(main())
