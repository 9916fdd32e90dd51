"""The page of an exception in a real browser: it fits its window, can be read in both themes, and by everybody."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
import pytest
from processes import ServiceProcess

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: ./dev brings it")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed: ./dev brings it")
pytestmark = chromium.MARKS
PROGRAM = """
from fastapi import FastAPI
from lmservice import Service

app = FastAPI()

def price(item: str) -> float:
    prices = {"apple": 0.25, "a line that is longer than any window of three hundred and sixty pixels": 1.0}
    return prices[item]  # what raises

@app.get("/price/{item}")
async def quote(item: str) -> float:
    try:
        return price(item)
    except KeyError as error:
        raise LookupError(f"no price of <{item}>") from error

service = Service("shop", app=app)
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium.launched(playwright) as opened:
        yield opened


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with ServiceProcess(PROGRAM, folder=tmp_path_factory.mktemp("shop")) as process:
        yield process.wait_ready()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_it_shows_the_code_that_raised_and_can_be_read(
    browser: Any, shop: ServiceProcess, tmp_path: Path, width: int, theme: str
) -> None:
    context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": 900})
    page = context.new_page()
    assert page.goto(f"{shop.url}/price/pear").status == 500
    assert page.title() == "LookupError: GET /price/pear"
    assert page.inner_text("h1") == "LookupError"
    assert page.inner_text(".message") == "no price of <pear>"
    assert 'raise LookupError(f"no price of <{item}>") from error' in page.inner_text(".here >> nth=0")
    assert "caused by: KeyError: 'pear'" in page.inner_text("main")
    assert page.locator(".others details[open]").count() == 0
    assert "what raises" in page.inner_text("section >> nth=1")
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = axe.Axe().run(page).response["violations"]
    assert [(violation["id"], [node["html"] for node in violation["nodes"]]) for violation in found] == []
    context.close()
