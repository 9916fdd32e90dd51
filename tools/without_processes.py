"""A plugin of pytest that skips each test as it starts a process: `python -m pytest -p tools.without_processes`."""

import subprocess
from typing import Any, NoReturn

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Let nobody be told of what a skipped test had opened, which only the collector closes."""
    for category in ("ResourceWarning", "pytest.PytestUnraisableExceptionWarning"):
        config.addinivalue_line("filterwarnings", f"ignore::{category}")


def pytest_collection_modifyitems() -> None:
    """Let every start of a process skip its test; pytest-xdist's own are started where nothing is collected."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        pytest.skip("starts a process")

    subprocess.Popen.__init__ = refuse  # type: ignore[method-assign]
