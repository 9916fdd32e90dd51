"""The market, with inventories that do what they are told."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date

import httpx
import pytest
from search_service.database import UnavailableError
from search_service.hotels import HotelSearch, LocalHotels
from search_service.kinds import HOTELS
from search_service.lodging import Lodging, Place
from search_service.market import Market, NoAnswerError, UnusableAnswerError, told, worst
from search_service.offers import HotelOffer, HotelPage

from lmservice import CircuitOpen, DeadlineExceeded

pytestmark = pytest.mark.anyio

SEARCH = HotelSearch(city="SAN", check_in=date(2013, 7, 1), check_out=date(2013, 7, 3), guests=2, limit=5)
LOCAL = LocalHotels(Lodging({"SAN": Place(32.7, -117.2)}))
SOON = 0.2
"""A deadline that is soon over, in seconds."""

Deed = Callable[[HotelSearch], Awaitable[list[HotelOffer]]]


class Told:
    """An inventory that does what it is told."""

    def __init__(self, name: str, deed: Deed) -> None:
        self.name = name
        self._deed = deed

    async def offers(self, search: HotelSearch) -> list[HotelOffer]:
        return await self._deed(search)


def fails(error: Exception) -> Deed:
    async def deed(_: HotelSearch) -> list[HotelOffer]:
        raise error

    return deed


async def hangs(_: HotelSearch) -> list[HotelOffer]:
    await asyncio.Event().wait()
    return []


async def ignores_being_cancelled(_: HotelSearch) -> list[HotelOffer]:
    end = asyncio.get_running_loop().time() + 1
    while (left := end - asyncio.get_running_loop().time()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue
    return []


def sells(name: str, *, by: float, without: int = 0) -> Told:
    """An inventory that sells what the local one does at `by` of its price, but for the cheapest `without`."""

    async def deed(search: HotelSearch) -> list[HotelOffer]:
        offers = (await LOCAL.offers(search))[without:]
        return [
            replace(each, supplier=name, price=replace(each.price, amount=each.price.amount * by)) for each in offers
        ]

    return Told(name, deed)


def market(*inventories: Told | LocalHotels, deadline: float = 3.0) -> Market[HotelSearch, HotelOffer, HotelPage]:
    return Market(HOTELS, inventories, deadline, lambda *_: None)


async def test_one_inventory_alone_is_whole() -> None:
    page = await market(LOCAL).page(SEARCH)
    assert (page.partial, page.suppliers) == (False, {"local": "ok"})
    assert page.hotels == (await LOCAL.offers(SEARCH))[:5]


async def test_what_two_offer_is_told_once_at_the_lower_price() -> None:
    found = await market(LOCAL, sells("cheap", by=0.5, without=3), sells("dear", by=2)).find(SEARCH)
    own = {each.id: each.price.amount for each in await LOCAL.offers(SEARCH)}
    assert sorted(each.id for each in found.offers) == sorted(own)
    assert Counter(each.supplier for each in found.offers) == {"local": 3, "cheap": len(own) - 3}
    for each in found.offers:
        assert each.price.amount == own[each.id] * (0.5 if each.supplier == "cheap" else 1)


async def test_at_the_same_price_the_services_own_offer_is_told() -> None:
    found = await market(LOCAL, sells("same", by=1)).find(SEARCH)
    assert {each.supplier for each in found.offers} == {"local"}


async def test_pages_of_what_was_merged_join_to_the_whole_in_order() -> None:
    both = market(LOCAL, sells("cheap", by=0.9, without=4))
    whole = (await both.find(SEARCH)).offers
    assert whole == sorted(whole, key=lambda each: (each.price.amount, each.id))
    pages = [await both.page(SEARCH)]
    while pages[-1].next_cursor:
        last = pages[-1].hotels[-1]
        after = (0, round(last.price.amount * 100), last.id)
        pages.append(await both.page(replace(SEARCH, cursor=after)))  # type: ignore[arg-type]
    assert [each for page in pages for each in page.hotels] == whole
    assert {page.total for page in pages} == {len(whole)}


@pytest.mark.parametrize("silence", [hangs, ignores_being_cancelled])
async def test_who_has_not_answered_in_time_is_left_out_as_late(silence: Deed) -> None:
    began = asyncio.get_running_loop().time()
    page = await market(LOCAL, Told("slow", silence), deadline=SOON).page(SEARCH)
    assert asyncio.get_running_loop().time() - began < 0.9
    assert (page.partial, page.suppliers) == (True, {"local": "ok", "slow": "late"})
    assert page.hotels == (await LOCAL.offers(SEARCH))[:5]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (CircuitOpen("open"), "open"),
        (DeadlineExceeded("too late"), "late"),
        (httpx.ReadTimeout("too late"), "late"),
        (httpx.ConnectError("nobody is there"), "failed"),
        (httpx.RemoteProtocolError("nonsense"), "failed"),
        (UnusableAnswerError("nonsense"), "failed"),
        (UnavailableError("the database is gone"), "failed"),
    ],
)
async def test_how_an_inventory_did_is_told_by_its_name(error: Exception, outcome: str) -> None:
    counted: Counter[tuple[str, str]] = Counter()
    here = Market(HOTELS, [LOCAL, Told("other", fails(error))], 3.0, lambda *each: counted.update([each]))
    page = await here.page(SEARCH)
    assert (page.partial, page.suppliers) == (True, {"local": "ok", "other": outcome})
    assert counted == {("local", "ok"): 1, ("other", outcome): 1}


async def test_suppliers_answer_where_the_services_own_inventory_does_not() -> None:
    gone = Told("local", fails(UnavailableError("gone")))
    page = await market(gone, sells("other", by=1)).page(SEARCH)
    assert (page.partial, page.suppliers) == (True, {"local": "failed", "other": "ok"})
    assert len(page.hotels) == 5


async def test_nobody_answering_is_no_answer() -> None:
    nobody = market(Told("local", fails(UnavailableError("gone"))), Told("slow", hangs), deadline=SOON)
    with pytest.raises(NoAnswerError, match=r"local failed, slow was too late") as raised:
        await nobody.page(SEARCH)
    assert raised.value.outcomes == {"local": "failed", "slow": "late"}


async def test_a_mistake_of_the_service_itself_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        await market(LOCAL, Told("other", fails(ZeroDivisionError()))).page(SEARCH)


async def test_the_market_of_its_own_asks_no_supplier() -> None:
    page = await market(LOCAL, Told("other", fails(ZeroDivisionError()))).own().page(SEARCH)
    assert (page.partial, page.suppliers) == (False, {"local": "ok"})


async def test_a_search_that_is_cancelled_leaves_nothing_running() -> None:
    ended = asyncio.Event()

    async def deed(_: HotelSearch) -> list[HotelOffer]:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return []

    search = asyncio.create_task(market(Told("slow", deed)).page(SEARCH))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    search.cancel()
    with pytest.raises(asyncio.CancelledError):
        await search
    async with asyncio.timeout(5):
        await ended.wait()


def test_the_worst_of_two_outcomes_counts() -> None:
    assert worst({"a": "ok", "b": "late"}, {"a": "failed", "b": "ok", "c": "open"}) == {
        "a": "failed",
        "b": "late",
        "c": "open",
    }
    assert told({"a": "late", "b": "open"}) == "a was too late, b is not asked for a while, as it failed too often"
