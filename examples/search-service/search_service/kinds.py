"""What the market, and asking a supplier, must know of flights and of hotels."""

from operator import attrgetter

from pydantic import TypeAdapter

from search_service import flights, hotels
from search_service.flights import FlightSearch
from search_service.hotels import HotelSearch
from search_service.market import Kind
from search_service.offers import FlightOffer, FlightPage, HotelOffer, HotelPage


def _flights_asked(search: FlightSearch) -> dict[str, str]:
    return {"origin": search.origin, "destination": search.destination, "date": search.date.isoformat()}


def _flight_belongs(search: FlightSearch, each: FlightOffer) -> bool:
    asked = search.origin, search.destination, search.date
    found = each.origin, each.destination, each.departure.date()
    return found == asked and each.flight_number.startswith(each.carrier.code) and each.departure < each.arrival


def _hotels_asked(search: HotelSearch) -> dict[str, str]:
    return {
        "city": search.city,
        "check_in": search.check_in.isoformat(),
        "check_out": search.check_out.isoformat(),
        "guests": str(search.guests),
    }


def _hotel_belongs(search: HotelSearch, each: HotelOffer) -> bool:
    asked = search.city, search.check_in, search.check_out, search.guests
    return (each.city, each.check_in, each.check_out, each.guests) == asked


FLIGHTS: Kind[FlightSearch, FlightOffer, FlightPage] = Kind(
    path="/flights",
    asked=_flights_asked,
    answers=TypeAdapter(FlightPage),
    offered=attrgetter("flights"),
    belongs=_flight_belongs,
    same=lambda each: (each.flight_number, each.departure.date()),
    selected=flights.selected,
    page=flights.page,
)

HOTELS: Kind[HotelSearch, HotelOffer, HotelPage] = Kind(
    path="/hotels",
    asked=_hotels_asked,
    answers=TypeAdapter(HotelPage),
    offered=attrgetter("hotels"),
    belongs=_hotel_belongs,
    same=attrgetter("id"),
    selected=hotels.selected,
    page=hotels.page,
)
