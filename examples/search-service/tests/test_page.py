"""The web page as it is sent, without a browser."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from search_service.days import DayOnRoute, around
from search_service.source import FIRST_DAY
from search_service.web import chart, words
from search_service.web.forms import forms
from search_service.web.links import carried, link, moved

pytestmark = pytest.mark.anyio

LAX = "/?kind=flights&origin=JFK&destination=LAX&date=2013-07-04"
FORMS = forms({"AA": "American Airlines Inc."})


@pytest.fixture(scope="module")
def either_url(database_file: Path) -> str:
    """The page is the same on either database."""
    return f"sqlite+aiosqlite:///{database_file}"


async def test_the_page_allows_nothing_but_its_own_files(client: httpx.AsyncClient) -> None:
    page = await client.get(LAX)
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert " style=" not in page.text
    assert re.findall(r"<script(?! src=)|\son\w+=|https?://", page.text) == []


async def test_static_files_are_kept_for_as_long_as_they_are_the_same(client: httpx.AsyncClient) -> None:
    paths = re.findall(r'"(/static/[^"]+)"', (await client.get("/")).text)
    assert [path.rpartition("/")[2] for path in paths] == ["icon.svg", "page.css", "page.js"]
    for path in paths:
        file = await client.get(path)
        assert file.status_code == 200
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert file.headers["x-content-type-options"] == "nosniff"


async def test_a_file_of_another_release_is_answered_but_not_kept(client: httpx.AsyncClient) -> None:
    file = await client.get("/static/0123456789ab/page.css")
    assert (file.status_code, file.headers["cache-control"]) == (200, "no-store")
    assert (await client.get("/static/0123456789ab/page.py")).status_code == 404


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("/?kind=flights&origin=jfk&destination=lax&date=2013-07-04", LAX),
        ("/?kind=flights&origin=New+York+(JFK)&destination=Los+Angeles+(LAX)&date=2013-07-04&carrier=&max_price=", LAX),
        ("/?kind=flights&origin=JFK&destination=los+angeles&date=2013-07-04", LAX),
        ("/?kind=flights&origin=+JFK+&destination=LAX&date=2013-07-04&depart_after=08:00", f"{LAX}&depart_after=08:00"),
    ],
)
async def test_what_was_typed_leads_to_an_address_that_can_be_read(
    client: httpx.AsyncClient, typed: str, canonical: str
) -> None:
    response = await client.get(typed)
    assert (response.status_code, response.headers["location"]) == (303, f"{canonical}#results")


async def test_a_stranger_in_the_address_is_no_error(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"{LAX}&utm_source=letter")).status_code == 200


@pytest.mark.parametrize("field", ["origin", "date", "max_price", "sort", "cursor"])
async def test_what_was_entered_is_escaped(client: httpx.AsyncClient, field: str) -> None:
    values = {"origin": "JFK", "destination": "LAX", "date": "2013-07-04", field: '"><script>alert(1)</script>'}
    page = await client.get("/", params={"kind": "flights", **values})
    assert page.status_code == 422
    assert "<script>alert" not in page.text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("origin=JFK", "Enter the airport that you fly to"),
        ("origin=JFK&destination=JFK", "“JFK” is the origin"),
        ("origin=&date=", "3 things to mend"),
        ("origin=JFK&destination=LAX&date=2013-07-04&sort=fun", "The order “fun” is not known"),
        ("origin=JFK&destination=LAX&date=2013-07-04&cursor=fun", "This page of the results is of another search"),
        ("kind=hotels&city=FRA&check_in=2013-07-04&check_out=2013-07-04&guests=0", "3 things to mend"),
        ("kind=hotels&city=LAX&check_in=2013-07-04&check_out=2013-07-04&guests=2", "after “Check-in”"),
    ],
)
async def test_each_mistake_is_said_in_words(client: httpx.AsyncClient, query: str, said: str) -> None:
    page = await client.get(f"/?{query}")
    assert page.status_code == 422
    assert said in page.text


def test_another_kind_takes_over_what_makes_sense_there() -> None:
    flight = {"origin": "EWR", "destination": "SFO", "date": "2013-09-13", "carrier": "AA"}
    stay = {"city": "SFO", "check_in": "2013-09-13", "check_out": "2013-09-16", "guests": "2"}
    assert carried(flight, FORMS["hotels"]) == stay
    assert carried({**stay, "guests": "4"}, FORMS["trips"])["guests"] == "4"
    assert carried(stay, FORMS["flights"]) == {"origin": "JFK", "destination": "SFO", "date": "2013-09-13"}
    assert carried({"date": "soon"}, FORMS["hotels"])["check_in"] == "soon"


def test_a_stay_that_is_moved_is_as_long_as_before() -> None:
    values = {"check_in": "2013-07-04", "check_out": "2013-07-09", "cursor": "x", "stars": "3"}
    assert moved(values, FIRST_DAY) == {"check_in": "2013-01-01", "check_out": "2013-01-06", "stars": "3"}
    assert link("hotels", {"city": "SFO", "stars": ""}) == "/?kind=hotels&city=SFO"


def test_a_chart_stays_within_its_panels() -> None:
    days = [DayOnRoute(day, 2, 100.0 + 13 * at, 0.4 + at / 50) for at, day in enumerate(around(FIRST_DAY))]
    drawn = chart.draw(days, FIRST_DAY)
    assert drawn is not None
    assert [bar.chosen for bar in drawn.bars].index(True) == 0
    for bar in drawn.bars:
        assert bar.top is not None
        assert bar.dot is not None
        assert chart.PRICES[0] <= bar.top <= chart.PRICES[1]
        assert chart.RATIOS[0] <= bar.dot <= chart.RATIOS[1]
        assert chart.LEFT <= bar.x <= chart.WIDTH - drawn.width
    assert drawn.summary == "Tue 1 Jan is the cheapest of these days, from $100."


def test_a_chart_of_nothing_is_none_and_a_gap_breaks_the_line() -> None:
    empty = [DayOnRoute(day) for day in around(FIRST_DAY)]
    assert chart.draw(empty, FIRST_DAY) is None
    days: list[Any] = [DayOnRoute(each.date, 1, 99.5, 1.0) for each in empty]
    days[3] = empty[3]
    drawn = chart.draw(days, days[3].date)
    assert drawn is not None
    assert len(drawn.paths) == 2
    assert drawn.bars[3].top is None
    assert drawn.summary.endswith("Fri 4 Jan has no flight to take.")


def test_words_read_as_people_write_them() -> None:
    assert words.long_day(FIRST_DAY) == "Tuesday 1 January 2013"
    assert [words.duration(minutes) for minutes in (45, 60, 353)] == ["45 min", "1 h 00 min", "5 h 53 min"]
    assert [words.dollars(amount) for amount in (1234.0, 99.5)] == ["$1,234", "$99.50"]
    assert words.at_least(255.01) == "$256"
    assert [words.counted(number, "day") for number in (0, 1, 2)] == ["0 days", "1 day", "2 days"]
    assert words.missing({"local": "ok", "a": "open", "b": "late"}) == (
        "b did not answer in time and a is left alone for a while, as it failed too often"
    )
