"""Suppliers: other inventories that speak the same API, asked over HTTP and believed only as far as their types go."""

from collections.abc import Sequence
from typing import Generic

import httpx
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from lmservice import Client, ClientPolicy
from search_service.market import GATHERING, LOCAL, Kind, O, P, S, UnusableAnswerError
from search_service.parameters import LARGEST_LIMIT
from search_service.settings import supplier_name
from search_service.transport import BoundedTransport

CALLING = 0.9
"""The part of the inventories' time that a call to a supplier has: it ends before it is cut off, and so counts."""

MOST_PAGES = 5
"""Pages that a supplier may have for one search."""

LARGEST_ANSWER = 1 << 20
"""Bytes that one page of a supplier may have."""

HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "Max-Forwards": "0"}
"""`Max-Forwards: 0` (RFC 9110, 7.6.2) asks for the supplier's own offers: it is not to ask its suppliers."""


def policy(deadline: float) -> ClientPolicy:
    """How suppliers are called: what is up fails fast and is tried again, what hangs is soon left alone."""
    patience = deadline * GATHERING * CALLING
    return ClientPolicy(
        timeout=patience, deadline=patience, attempts=2, breaker_minimum_calls=5, breaker_window=30, breaker_open=15
    )


class Supplier:
    """One supplier.

    Attributes:
        name: its host and port.
        client: to be entered before it is asked.

    Args:
        url: its base.
        deadline: by when a search must be answered, in seconds.
        registry: where the metrics of the calls go.
    """

    def __init__(self, url: str, deadline: float, registry: CollectorRegistry) -> None:
        self.name = supplier_name(url)
        transport = BoundedTransport(LARGEST_ANSWER)
        self.client = Client(url, policy=policy(deadline), transport=transport, registry=registry)

    async def get(self, path: str, query: dict[str, str]) -> bytes:
        """What it answers.

        Raises:
            UnusableAnswerError: with another status than 200.
            httpx.HTTPError: it does not answer.
        """
        response = await self.client.get(path, params=query, headers=HEADERS)
        if response.status_code != httpx.codes.OK:
            raise UnusableAnswerError(f"it answered {response.status_code}")
        return response.content


class SuppliedOffers(Generic[S, O, P]):
    """The offers of one kind that a supplier has: an inventory."""

    def __init__(self, supplier: Supplier, kind: Kind[S, O, P]) -> None:
        self.name = supplier.name
        self._supplier = supplier
        self._kind = kind

    async def offers(self, search: S) -> Sequence[O]:
        """All that it has for a search, from all its pages.

        Raises:
            UnusableAnswerError: an answer is none, or one to another question.
            httpx.HTTPError: there is no answer.
        """
        query = {**self._kind.asked(search), "limit": str(LARGEST_LIMIT)}
        found: list[O] = []
        for _ in range(MOST_PAGES):
            page = self._read(await self._supplier.get(self._kind.path, query))
            found += self._checked(search, page)
            if page.next_cursor is None:
                return found
            query["cursor"] = page.next_cursor
        raise UnusableAnswerError(f"it has more than {MOST_PAGES} pages of {LARGEST_LIMIT}")

    def _read(self, body: bytes) -> P:
        try:
            page = self._kind.answers.validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the body"
            raise UnusableAnswerError(f"{where} of its answer: {first['msg']}") from None
        if others := page.suppliers.keys() - {LOCAL}:
            raise UnusableAnswerError(f"it asked suppliers of its own, {len(others)} of them, despite Max-Forwards: 0")
        return page

    def _checked(self, search: S, page: P) -> list[O]:
        offers = self._kind.offered(page)
        for each in offers:
            if not self._kind.belongs(search, each):
                raise UnusableAnswerError("it answered another question than it was asked")
            each.supplier = self.name
        return offers
