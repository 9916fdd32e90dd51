"""The two markets of the service, for flights and for hotels, and which of their inventories a request may have."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from starlette.datastructures import State
from starlette.requests import Request

from search_service.answers import Counts
from search_service.flights import FlightSearch
from search_service.hotels import HotelSearch
from search_service.kinds import FLIGHTS, HOTELS
from search_service.market import Market
from search_service.offers import FlightOffer, FlightPage, HotelOffer, HotelPage, Outcome
from search_service.suppliers import SuppliedOffers, Supplier


@dataclass(frozen=True)
class Markets:
    """Where flights and hotels are found.

    Attributes:
        scope: of which inventories: `all`, or the service's `own`.
    """

    flights: Market[FlightSearch, FlightOffer, FlightPage]
    hotels: Market[HotelSearch, HotelOffer, HotelPage]
    scope: str = "all"

    def own(self) -> "Markets":
        """The same without suppliers."""
        return Markets(self.flights.own(), self.hotels.own(), "own")


def markets_for(request: Request) -> Markets:
    """The markets that a request may have searched.

    One that may not be forwarded (`Max-Forwards: 0`) is from a service that we are a supplier of; it gets our own
    offers alone, so that services which supply each other do not ask in circles.
    """
    markets: Markets = request.state.markets
    return markets.own() if request.headers.get("max-forwards", "").strip() == "0" else markets


@asynccontextmanager
async def opened(state: State, counts: Counts, registry: CollectorRegistry) -> AsyncIterator[Markets]:
    """The markets of a service, with clients of all its suppliers for as long as they are open.

    Args:
        state: has the service's own `flights` and `hotels`, and its `settings`.
        counts: where it is counted how the inventories did.
        registry: where the metrics of calls go.
    """
    deadline = state.settings.search_deadline

    def count(supplier: str, outcome: Outcome) -> None:
        counts.suppliers.labels(supplier, outcome).inc()

    async with AsyncExitStack() as stack:
        suppliers = [Supplier(url, deadline, registry) for url in state.settings.suppliers]
        for each in suppliers:
            await stack.enter_async_context(each.client)
        yield Markets(
            Market(FLIGHTS, [state.flights, *(SuppliedOffers(each, FLIGHTS) for each in suppliers)], deadline, count),
            Market(HOTELS, [state.hotels, *(SuppliedOffers(each, HOTELS) for each in suppliers)], deadline, count),
        )
