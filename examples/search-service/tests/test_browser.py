"""The web page in a real Chromium."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from browser import chromium, opened, violations
from playwright.async_api import Browser, Page, expect

pytestmark = pytest.mark.anyio

LAX = "/?kind=flights&origin=JFK&destination=LAX&date=2013-07-04"
TRIPS = "/?kind=trips&origin=JFK&destination=SAN&check_in=2013-07-04&check_out=2013-07-07&guests=2"
PAGES = {
    "start": "/",
    "flights": LAX,
    "hotels": "/?kind=hotels&city=SAN&check_in=2013-07-04&check_out=2013-07-07&guests=2&stars=3",
    "trips": TRIPS,
    "errors": "/?kind=flights&origin=JFK&destination=portland&date=2014-07-04&max_price=x",
    "empty": "/?kind=flights&origin=EWR&destination=ANC&date=2013-07-05",
    "filtered out": f"{LAX}&max_price=5",
}
NOBODY = "http://127.0.0.1:9"
"""A supplier that is not there."""

SUBMITTED = """button => {
    button.click()
    const told = document.querySelector("[role=status]")
    return [document.querySelector("main").ariaBusy, button.innerText, told.innerText]
}"""
"""Looks at once: Playwright itself would wait for the page that comes."""

RunSearch = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def either_url(database_file: Path) -> str:
    """The page is the same on either database."""
    return f"sqlite+aiosqlite:///{database_file}"


@pytest.fixture(scope="module")
def url(client: httpx.AsyncClient) -> str:
    return str(client.base_url)


@pytest.fixture
async def page(browser: Browser, url: str) -> AsyncIterator[Page]:
    async with opened(browser, url, viewport={"width": 1440, "height": 900}) as page:
        yield page


async def test_a_search_leads_to_its_results(page: Page) -> None:
    await page.goto("/")
    await page.get_by_label("To", exact=True).fill("los angeles")
    await page.get_by_role("button", name="Search").click()
    await expect(page).to_have_url(f"{page.url.split('/?')[0]}{LAX}#results")
    await expect(page.get_by_role("heading", name="New York (JFK) to Los Angeles (LAX)")).to_be_focused()
    await expect(page.get_by_text("28 flights on Thursday 4 July 2013")).to_be_visible()
    tickets = page.get_by_role("article")
    await expect(tickets).to_have_count(20)
    await expect(tickets.first).to_contain_text("UA771")
    await expect(tickets.first).to_contain_text("synthetic")
    await page.get_by_role("link", name="Next flights").click()
    await expect(tickets).to_have_count(8)


async def test_results_are_sorted_filtered_and_moved_to_another_day(page: Page) -> None:
    await page.goto(LAX)
    await page.get_by_role("link", name="Cheapest").click()
    await expect(page.get_by_role("article").first).to_contain_text("$255.21")
    await page.get_by_text("Filters", exact=True).click()
    await page.get_by_label("Carrier").select_option("AA")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator(".number").first).to_contain_text("AA")
    assert "carrier=AA" in page.url
    assert "sort=price" in page.url
    await page.get_by_role("navigation", name="Other days").get_by_role("link").nth(4).click()
    await expect(page.get_by_text("on Friday 5 July 2013")).to_be_visible()
    assert "carrier=AA" in page.url


async def test_the_chart_has_its_figures_in_a_table(page: Page) -> None:
    await page.goto(LAX)
    await expect(page.get_by_role("img", name="The cheapest seat of each day")).to_be_visible()
    await page.get_by_text("The figures as a table").click()
    rows = page.get_by_role("table", name="The days around the date").get_by_role("row")
    await expect(rows).to_have_count(22)
    await expect(rows.nth(11)).to_contain_text("Thu 4 Jul")
    await expect(rows.nth(11)).to_contain_text("$255.21")


async def test_errors_stand_at_their_fields_and_have_the_focus(page: Page) -> None:
    response = await page.goto(PAGES["errors"])
    assert response is not None
    assert response.status == 422
    await expect(page.get_by_role("alert")).to_be_focused()
    await expect(page.get_by_role("heading", name="3 things to mend")).to_be_visible()
    date = page.get_by_label("Date")
    await expect(date).to_have_attribute("aria-invalid", "true")
    await expect(date).to_have_accessible_description(
        "“2014-07-04” is outside the timetable. Choose a day in 2013, the year on record."
    )
    await page.get_by_role("alert").get_by_role("link", name="Date").click()
    await expect(date).to_be_focused()
    await date.fill("2013-07-04")
    await page.get_by_label("Price up to").fill("")
    await page.get_by_label("To", exact=True).fill("Portland (PDX)")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_role("heading", name="to Portland")).to_be_visible()


async def test_what_is_empty_says_so_and_offers_a_way_on(page: Page) -> None:
    await page.goto(PAGES["empty"])
    await expect(page.get_by_role("heading", name="No flights that day")).to_be_visible()
    await page.get_by_role("link", name="Sat 6 Jul, from").click()
    await expect(page.get_by_role("article")).to_have_count(1)
    await page.goto(PAGES["filtered out"])
    await page.get_by_role("link", name="Clear 1 filter").click()
    await expect(page.get_by_role("article")).to_have_count(20)


async def test_an_airport_is_chosen_by_keyboard(page: Page) -> None:
    await page.goto("/")
    box = page.get_by_role("combobox", name="To", exact=True)
    await expect(box).to_have_attribute("aria-expanded", "false")
    await box.press_sequentially("san fr")
    options = page.get_by_role("option")
    await expect(options.first).to_contain_text("San Francisco, California")
    await expect(box).to_have_attribute("aria-expanded", "true")
    await expect(page.get_by_role("status")).to_contain_text("arrow down to choose")
    await box.press("ArrowDown")
    await expect(options.first).to_have_attribute("aria-selected", "true")
    await expect(box).to_have_attribute("aria-activedescendant", str(await options.first.get_attribute("id")))
    assert await violations(page) == []
    await box.press("Enter")
    await expect(box).to_have_value("San Francisco (SFO)")
    await expect(box).to_have_attribute("aria-expanded", "false")
    await box.press("Enter")
    await expect(page.get_by_role("heading", name="to San Francisco (SFO)")).to_be_visible()


async def test_escape_closes_the_list_and_leaves_what_was_typed(page: Page) -> None:
    await page.goto("/")
    box = page.get_by_role("combobox", name="To", exact=True)
    await box.press_sequentially("bos")
    await expect(page.get_by_role("listbox")).to_be_visible()
    await box.press("Escape")
    await expect(page.get_by_role("listbox")).to_be_hidden()
    await expect(box).to_have_value("bos")


async def test_the_skip_link_is_first_and_leads_past_the_form(page: Page) -> None:
    await page.goto(LAX)
    await page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the results")
    await expect(skip).to_be_focused()
    await skip.press("Enter")
    await expect(page.locator("#results")).to_be_focused()


async def test_everything_is_found_without_javascript(browser: Browser, url: str) -> None:
    async with opened(browser, url, java_script_enabled=False) as page:
        await page.goto("/?kind=trips")
        await page.get_by_label("To", exact=True).fill("san diego")
        await page.get_by_role("button", name="Search").click()
        await expect(page).to_have_url(f"{url}{TRIPS}#results")
        first = page.get_by_role("article").first
        await expect(first).to_contain_text("for 2 guests")
        await page.get_by_role("link", name="Hotels").click()
        await expect(page.get_by_label("Where")).to_have_value("San Diego (SAN)")
        await page.get_by_role("button", name="Search").click()
        await expect(page.get_by_text("km from the airport").first).to_be_visible()


async def test_a_supplier_that_is_missing_is_told_above_what_there_is(browser: Browser, run_search: RunSearch) -> None:
    async with run_search(suppliers=[NOBODY]) as client, opened(browser, str(client.base_url)) as page:
        await page.goto(LAX)
        notice = page.get_by_role("status").filter(has_text="Some results may be missing")
        await expect(notice).to_contain_text("127.0.0.1:9 could not answer")
        await expect(page.get_by_role("article")).to_have_count(20)
        assert await violations(page) == []
        await page.goto(TRIPS)
        await expect(notice).to_contain_text("Flights: ")
        await expect(notice).to_contain_text("Hotels: ")
        assert await violations(page) == []


async def test_a_search_under_way_is_told_and_shown(browser: Browser, run_search: RunSearch) -> None:
    async with (
        hanging_server() as supplier,
        run_search(suppliers=[supplier]) as client,
        opened(browser, str(client.base_url)) as page,
    ):
        await page.goto("/")
        await page.get_by_label("To", exact=True).fill("Boston (BOS)")
        seen = await page.get_by_role("button", name="Search").evaluate(SUBMITTED)
        assert seen == ["true", "Searching…", "Searching…"]
        await expect(page.get_by_text("did not answer in time")).to_be_visible()


async def test_nobody_answering_is_told_with_a_way_to_ask_again(
    browser: Browser, run_search: RunSearch, breakable_database: Any
) -> None:
    async with run_search(database_url=breakable_database.url) as client, opened(browser, str(client.base_url)) as page:
        breakable_database.break_()
        response = await page.goto(LAX)
        assert response is not None
        assert response.status == 503
        assert int(response.headers["retry-after"]) > 0
        await expect(page.get_by_role("heading", name="No answer just now")).to_be_visible()
        await expect(page.get_by_role("link", name="Try again")).to_have_attribute("href", f"{LAX}#results")
        assert await violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
async def test_no_state_has_a_barrier_or_overflows(browser: Browser, url: str, width: int, scheme: str) -> None:
    viewport = {"width": width, "height": 800}
    async with opened(browser, url, viewport=viewport, color_scheme=scheme) as page:
        for name, path in PAGES.items():
            await page.goto(path)
            for each in await page.locator("summary").all():
                await each.evaluate("summary => summary.parentElement.open = true")
            assert await violations(page) == [], name
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, name


@asynccontextmanager
async def hanging_server() -> AsyncIterator[str]:
    """Listens, and never answers; gives its URL."""
    gone = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        gone.set()
