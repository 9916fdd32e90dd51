"""What a supplier sells: most of what the search service has, at prices of its own, and a little that nobody else has.

All of it follows from the record and from the supplier's name, so two suppliers of different names differ, and one is
the same at every start.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from search_service.chance import share
from search_service.flights import FlightSearch, LocalFlights
from search_service.hotels import HotelSearch, LocalHotels
from search_service.market import LOCAL
from search_service.offers import FlightOffer, HotelOffer, Price

SOLD = 0.85
"""The part of the flights and hotels that a supplier sells."""

OWN = 0.2
"""The part of these to which it has one more of its own."""

CHEAPEST, DEAREST = 0.86, 1.12
"""Its prices, as parts of the search service's."""

EXTRA_NUMBERS = 9000
"""Its own flights' numbers are above those of the record."""

LATER = timedelta(minutes=40)
"""How much later its own flights leave than the scheduled ones."""


class SoldFlights:
    """The flights that a supplier sells."""

    name = LOCAL

    def __init__(self, supplier: str, timetable: LocalFlights) -> None:
        self._supplier = supplier
        self._timetable = timetable

    async def offers(self, search: FlightSearch) -> list[FlightOffer]:
        """All that it has between two airports on a day, whatever else is asked."""
        whole_day = FlightSearch(origin=search.origin, destination=search.destination, date=search.date)
        return [sold for each in await self._timetable.offers(whole_day) for sold in self._sold(each)]

    def _sold(self, each: FlightOffer) -> Iterator[FlightOffer]:
        about = self._supplier, each.flight_number, each.departure.date()
        if share(*about, "sold") < SOLD:
            yield replace(each, price=scaled(each.price, factor(*about)))
        if share(*about, "own") < OWN and (each.departure + LATER).date() == each.departure.date():
            yield replace(
                each,
                flight_number=f"{each.carrier.code}{EXTRA_NUMBERS + each.number % 1000}",
                departure=each.departure + LATER,
                arrival=each.arrival + LATER,
                cancelled=False,
                price=scaled(each.price, factor(*about, "own")),
            )


class SoldHotels:
    """The hotels that a supplier sells."""

    name = LOCAL

    def __init__(self, supplier: str, hotels: LocalHotels) -> None:
        self._supplier = supplier
        self._hotels = hotels
        self.cities = hotels.cities

    async def offers(self, search: HotelSearch) -> list[HotelOffer]:
        """All that it has in a city for a stay, whatever else is asked."""
        stay = HotelSearch(city=search.city, check_in=search.check_in, check_out=search.check_out, guests=search.guests)
        return [sold for each in await self._hotels.offers(stay) for sold in self._sold(each)]

    def _sold(self, each: HotelOffer) -> Iterator[HotelOffer]:
        about = self._supplier, each.id
        if share(*about, "sold") < SOLD:
            yield priced(each, factor(*about))
        if share(*about, "own") < OWN:
            annex = replace(each, id=f"{each.id}-annex", name=f"{each.name} Annex")
            yield priced(annex, factor(*about, "own"))


def factor(*about: object) -> float:
    """The supplier's price as a part of the search service's."""
    return CHEAPEST + (DEAREST - CHEAPEST) * share(*about, "price")


def scaled(price: Price, by: float) -> Price:
    """The supplier's price."""
    return replace(price, amount=round(price.amount * by, 2))


def priced(hotel: HotelOffer, by: float) -> HotelOffer:
    """The stay at the supplier's prices, night by night."""
    nights = [replace(night, price=round(night.price * by, 2)) for night in hotel.nights]
    stay = round(hotel.rooms * sum(night.price for night in nights), 2)
    return replace(
        hotel,
        nights=nights,
        price=replace(hotel.price, amount=stay),
        price_per_night=replace(hotel.price, amount=round(stay / len(nights), 2)),
    )
