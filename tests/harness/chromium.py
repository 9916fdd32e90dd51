"""Chromium without a window, for the tests that look at pages: where it is, its arguments, and how it is started."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
MARKS = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # playwright's own pipes
]
"""The marks of a module whose tests need it."""
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextlib.contextmanager
def launched(playwright: Any, arguments: Sequence[str] = ()) -> Iterator[Any]:
    """Gives a browser, which is closed in the end.

    Args:
        playwright: the module `playwright.sync_api`.
        arguments: Chromium's, beside `ARGUMENTS`.
    """
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *arguments])
        yield browser
        browser.close()
