from datetime import date, timedelta

import pytest
from search_service.chance import Chance, share
from search_service.lodging import FARTHEST, HOTELS, Lodging, Place

SAN_DIEGO = Place(32.7336, -117.1897)
ANCHORAGE = Place(61.1744, -149.9963)
LODGING = Lodging({"SAN": SAN_DIEGO, "ANC": ANCHORAGE})
YEAR = [date(2013, 1, 1) + timedelta(days=at) for at in range(365)]


def test_the_same_hotels_are_there_at_every_start() -> None:
    assert Lodging({"SAN": SAN_DIEGO}).around("SAN") == LODGING.around("SAN")
    first = LODGING.around("SAN")[0]
    assert (first.id, first.name, first.stars) == ("san-post-road-park-hotel", "Post Road Park Hotel", 4)
    assert first.nights(date(2013, 7, 1), 1) == first.nights(date(2013, 7, 1), 1)


def test_what_is_generated_is_the_same_on_every_machine() -> None:
    assert share("SAN", date(2013, 7, 1)) == pytest.approx(0.9406, abs=1e-4)
    assert Chance("hotels of SAN").between(0, 1) == pytest.approx(0.9221, abs=1e-4)


def test_shuffled_things_are_all_there_in_another_order() -> None:
    things = list(range(50))
    shuffled = Chance("cards").shuffled(things)
    assert sorted(shuffled) == things != shuffled


@pytest.mark.parametrize(("city", "centre"), [("SAN", SAN_DIEGO), ("ANC", ANCHORAGE)])
def test_hotels_lie_around_the_real_airport(city: str, centre: Place) -> None:
    hotels = LODGING.around(city)
    assert HOTELS[0] <= len(hotels) <= HOTELS[1]
    for hotel in hotels:
        assert hotel.distance == round(centre.distance(hotel.place), 1)
        assert 0.2 <= hotel.distance <= FARTHEST + 0.1


def test_no_two_hotels_have_the_same_name_or_id() -> None:
    hotels = LODGING.around("SAN")
    assert len({hotel.name for hotel in hotels}) == len({hotel.id for hotel in hotels}) == len(hotels)


def test_a_place_without_flights_has_no_hotels() -> None:
    assert LODGING.around("LHR") == []
    assert LODGING.cities == {"SAN", "ANC"}


def test_the_distance_between_two_airports_is_that_of_the_great_circle() -> None:
    assert Place(40.6398, -73.7789).distance(Place(33.9425, -118.4081)) == pytest.approx(3974, rel=0.002)
    assert SAN_DIEGO.distance(SAN_DIEGO) == 0


def test_more_stars_cost_more() -> None:
    nights = {
        stars: [
            night.price for hotel in LODGING.around("SAN") if hotel.stars == stars for night in hotel.nights(YEAR[0], 9)
        ]
        for stars in range(1, 6)
    }
    means = [sum(nights[stars]) / len(nights[stars]) for stars in range(1, 6)]
    assert means == sorted(means)


def test_summer_and_the_weekend_are_dear_and_full() -> None:
    hotel = LODGING.around("SAN")[0]
    nights = {night.day: night for night in hotel.nights(YEAR[0], 365)}
    january, july = ([night for day, night in nights.items() if day.month == month] for month in (1, 7))
    assert sum(night.price for night in january) < 0.75 * sum(night.price for night in july)
    assert sum(night.available for night in january) > sum(night.available for night in july)
    tuesdays, saturdays = ([night for day, night in nights.items() if day.weekday() == weekday] for weekday in (1, 5))
    assert sum(night.price for night in tuesdays) < sum(night.price for night in saturdays)


def test_some_nights_are_sold_out_and_no_hotel_has_more_free_rooms_than_rooms() -> None:
    nights = [(hotel.rooms, night.available) for hotel in LODGING.around("SAN") for night in hotel.nights(YEAR[0], 365)]
    assert all(0 <= available < rooms for rooms, available in nights)
    sold_out = sum(available == 0 for _, available in nights) / len(nights)
    assert 0 < sold_out < 0.1
