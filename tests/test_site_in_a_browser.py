"""The documents' site in a real browser: what its copy buttons copy, and where its pages lead."""

import functools
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: ./dev brings it")
ROOT = Path(__file__).parents[1]
pytestmark = chromium.MARKS
PATIENCE = 100_000
"""How long a page may take to show something, in milliseconds: long, as the machine is shared."""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the standard library
        del format, args


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serves the site, as a clipboard wants a server."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=110)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def page(url: str) -> Iterator[Any]:
    with chromium.launched(playwright) as browser:
        context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], base_url=url)
        context.set_default_timeout(PATIENCE)
        yield context.new_page()


def copied(page: Any, block: str) -> str:
    """What the button of a page's first block of that text puts into the clipboard."""
    page.locator(".highlight", has_text=block).first.hover()
    page.locator(".highlight", has_text=block).first.locator("[data-clipboard-target], .md-code__button").first.click()
    page.get_by_text("Copied to clipboard").wait_for()
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_the_button_of_a_shell_block_copies_commands_without_prompts_and_answers(page: Any) -> None:
    page.goto("/tutorial.html")
    lines = copied(page, "greetings/Ada").splitlines()
    commands = ["curl http://localhost:8081/greetings/Ada", "curl http://localhost:8002/readyz"]
    assert [line for line in lines if line.strip()] == commands


def test_the_button_of_a_program_copies_the_program(page: Any) -> None:
    page.goto("/index.html")
    text = copied(page, "HelloSettings")
    assert f"```python\n{text}\n```" in (ROOT / "docs" / "index.md").read_text()


def test_a_page_leads_to_the_one_before_and_the_one_behind_and_tells_the_version(page: Any) -> None:
    page.goto("/tutorial.html")
    assert page.locator("a.md-footer__link--prev").get_attribute("href") == "index.html"
    assert page.locator("a.md-footer__link--next").get_attribute("href") == "how-to/fastapi.html"
    assert page.locator(".md-copyright").inner_text().startswith("lmservice 0.")
    page.goto("/changelog.html")
    assert "Unreleased" in page.locator("article").inner_text()
