"""The documents as a site: built strictly, complete, and with nothing that comes from elsewhere."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
_LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "use": "href", "link": "href"}
FOLDERS = {
    "How to": "how-to",
    "Explanation": "explanation",
    "Reference": "reference",
    "Decisions": "decisions",
    "Runbooks": "runbooks",
}
_NOT_LOADED = {"canonical", "next", "prev", "alternate"}


class _Page(HTMLParser):
    """Collects what a browser fetches to show the page."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in _LOADS and (given.get("rel") or "") not in _NOT_LOADED:
            self.loads.append(given.get(_LOADS[tag]) or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_document_is_a_page(site: Path) -> None:
    pages = [path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")]
    assert len(pages) > 15
    assert [page for page in pages if not (site / page).is_file()] == []


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = [str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page not in navigation] == []


def test_a_page_lies_in_the_folder_of_its_section() -> None:
    sections = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    for entry in sections:
        ((section, pages),) = entry.items()
        paths = (
            [pages]
            if isinstance(pages, str)
            else [page if isinstance(page, str) else page.popitem()[1] for page in pages]
        )
        folder = FOLDERS.get(section, ".")
        assert [path for path in paths if str(Path(path).parent) != folder] == [], section


def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        page = _Page()
        page.feed(path.read_text())
        assert page.loads
        assert [load for load in page.loads if re.match(r"(\w+:)?//", load)] == [], path


def test_no_style_loads_anything_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)]*", path.read_text()) == [], path


@pytest.mark.parametrize(
    ("word", "page"),
    [
        ("forwarded", "how-to/proxies.html"),
        ("cors", "how-to/middleware.html"),
        ("testclient", "how-to/test.html"),
        ("openapi", "how-to/fastapi.html"),
    ],
)
def test_the_search_finds(site: Path, word: str, page: str) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text())
    separator = re.compile(index["config"]["separator"])
    sections = [part for part in index["docs"] if part["location"].partition("#")[0] == page]
    text = re.sub(r"<[^>]*>", " ", " ".join(f"{part['title']} {part['text']}" for part in sections))
    assert word in {token.lower() for token in separator.split(text)}
