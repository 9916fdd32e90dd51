"""The market: all inventories of one kind of offer, the service's own and its suppliers', searched at once and in time.

Whatever has not answered when the time is up is left out and said to be late; it is cancelled, but not waited for, so
that nothing which hangs can hold up an answer. What two inventories offer alike is told once, at the lower price; of a
page nothing is remembered, so the next one asks all inventories again and goes on behind the same offer.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import httpx
from pydantic import TypeAdapter

from lmservice import CircuitOpen
from search_service.database import UnavailableError
from search_service.offers import Outcome, Price

GATHERING = 0.85
"""The part of a search's deadline that the inventories have; the rest is for merging, sorting and writing."""

LOCAL = "local"
"""The name of the service's own inventory."""

_log = logging.getLogger(__name__)


class Offer(Protocol):
    """What a traveller can buy."""

    price: Price
    supplier: str


class Page(Protocol):
    """Some of the offers that a search finds."""

    next_cursor: str | None
    partial: bool
    suppliers: dict[str, Outcome]


S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)
O = TypeVar("O", bound=Offer)  # noqa: E741 - an offer
O_co = TypeVar("O_co", bound=Offer, covariant=True)
P = TypeVar("P", bound=Page)


class Inventory(Protocol[S_contra, O_co]):
    """Where offers come from."""

    @property
    def name(self) -> str:
        """As answers and metrics have it."""

    async def offers(self, search: S_contra) -> Sequence[O_co]:
        """All offers that the search finds, on whatever page, and perhaps more."""


@dataclass(frozen=True)
class Kind(Generic[S, O, P]):
    """A kind of offer: what the market, and asking a supplier, must know of flights or of hotels.

    Attributes:
        path: of the endpoint that offers it, here and at suppliers.
        asked: the query that makes a supplier tell all that it has for a search.
        answers: reads and writes a page.
        offered: the offers on a page.
        belongs: whether an offer is one that the search could have asked for.
        same: what two offers of the same thing have in common.
        selected: of offers, those that a search finds, in its order.
        page: of those, the page that the search asks for.
    """

    path: str
    asked: Callable[[S], dict[str, str]]
    answers: TypeAdapter[P]
    offered: Callable[[P], list[O]]
    belongs: Callable[[S, O], bool]
    same: Callable[[O], Hashable]
    selected: Callable[[S, Iterable[O]], list[O]]
    page: Callable[[S, Sequence[O]], P]


class UnusableAnswerError(Exception):
    """A supplier's answer that cannot be used; says what is wrong with it."""


class NoAnswerError(Exception):
    """No inventory answered, so there is nothing to tell.

    Attributes:
        outcomes: how each did, by its name.
    """

    def __init__(self, outcomes: Mapping[str, Outcome]) -> None:
        super().__init__(f"no inventory could be searched: {told(outcomes)}")
        self.outcomes = dict(outcomes)


SEVERITY: tuple[Outcome, ...] = ("ok", "late", "failed", "open")
"""The worst last."""

_WORDS: dict[Outcome, str] = {
    "ok": "answered",
    "late": "was too late",
    "failed": "failed",
    "open": "is not asked for a while, as it failed too often",
}


def told(outcomes: Mapping[str, Outcome]) -> str:
    """How each inventory did, as a part of a sentence."""
    return ", ".join(f"{name} {_WORDS[outcome]}" for name, outcome in outcomes.items())


def worst(first: Mapping[str, Outcome], second: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """How each inventory did at its worst, in two searches."""
    both = {**first, **second}
    return {name: max(first.get(name, "ok"), second.get(name, "ok"), key=SEVERITY.index) for name in both}


@dataclass(frozen=True)
class Found(Generic[O]):
    """What a search finds.

    Attributes:
        offers: all of them, in the search's order, none twice.
        outcomes: how each inventory did, by its name.
    """

    offers: list[O]
    outcomes: dict[str, Outcome]

    @property
    def partial(self) -> bool:
        """Whether an inventory is missing."""
        return any(outcome != "ok" for outcome in self.outcomes.values())


class Market(Generic[S, O, P]):
    """The inventories of one kind of offer.

    Args:
        kind: of offer.
        inventories: the service's own first.
        deadline: by when a search must be answered, in seconds.
        count: told how each inventory did, by its name, in each search.
    """

    def __init__(
        self,
        kind: Kind[S, O, P],
        inventories: Sequence[Inventory[S, O]],
        deadline: float,
        count: Callable[[str, Outcome], None],
    ) -> None:
        self.kind = kind
        self._inventories = list(inventories)
        self._patience = deadline * GATHERING
        self._count = count
        self._left: set[asyncio.Task[Any]] = set()

    def own(self) -> "Market[S, O, P]":
        """The market without suppliers, for those whose supplier the service itself is."""
        own = Market(self.kind, self._inventories[:1], 0.0, self._count)
        own._patience, own._left = self._patience, self._left
        return own

    async def page(self, search: S) -> P:
        """The page that the search asks for.

        Raises:
            NoAnswerError: no inventory answered.
        """
        found = await self.find(search)
        page = self.kind.page(search, found.offers)
        page.partial, page.suppliers = found.partial, found.outcomes
        return page

    async def find(self, search: S) -> Found[O]:
        """All that the search finds, whatever the page.

        Raises:
            NoAnswerError: no inventory answered.
        """
        asked = {each.name: asyncio.create_task(_offers(each, search)) for each in self._inventories}
        try:
            await asyncio.wait(asked.values(), timeout=self._patience)
        finally:
            self._leave(asked.values())
        outcomes = {name: _outcome(name, task) for name, task in asked.items()}
        for name, outcome in outcomes.items():
            self._count(name, outcome)
        answered = [asked[name].result() for name, outcome in outcomes.items() if outcome == "ok"]
        if not answered:
            raise NoAnswerError(outcomes)
        return Found(self.kind.selected(search, self._cheapest(answered)), outcomes)

    def _cheapest(self, answered: Iterable[Sequence[O]]) -> Iterable[O]:
        cheapest: dict[Hashable, O] = {}
        for each in (offer for offers in answered for offer in offers):
            known = cheapest.setdefault(self.kind.same(each), each)
            if each.price.amount < known.price.amount:
                cheapest[self.kind.same(each)] = each
        return cheapest.values()

    def _leave(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """Cancels what still goes on; it is held until it has ended, as the event loop itself does not."""
        for task in tasks:
            if not task.done():
                task.cancel()
                self._left.add(task)
                task.add_done_callback(self._left.discard)


async def _offers(inventory: Inventory[S, O], search: S) -> Sequence[O]:
    return await inventory.offers(search)


_LATE = (TimeoutError, httpx.TimeoutException)
_FAILED = (httpx.HTTPError, UnusableAnswerError, UnavailableError)
"""What an inventory may fail of; anything else is a mistake of this service, and not hidden."""


def _outcome(name: str, task: asyncio.Task[Any]) -> Outcome:
    if not task.done() or task.cancelled():
        return _told(name, "late", "no answer in time")
    error = task.exception()
    match error:
        case None:
            return "ok"
        case CircuitOpen():
            return "open"
        case _ if isinstance(error, _LATE):
            return _told(name, "late", error)
        case _ if isinstance(error, _FAILED):
            return _told(name, "failed", error)
    raise error


def _told(name: str, outcome: Outcome, why: object) -> Outcome:
    _log.warning("search.inventory_missing", extra={"supplier": name, "outcome": outcome, "reason": str(why)})
    return outcome
