"""Hotels: those of a city that have rooms for a stay."""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema

from search_service import cursor
from search_service.cursor import CURSOR
from search_service.fares import CURRENCY
from search_service.lodging import Building, Lodging
from search_service.market import LOCAL
from search_service.offers import HotelOffer, HotelPage, Night, Price
from search_service.parameters import (
    AMOUNT,
    DEFAULT_LIMIT,
    Amount,
    Code,
    Day,
    Limit,
    NotAllowedError,
    Parameters,
    one_of,
)

MOST_NIGHTS = 30
MOST_GUESTS = 9
MOST_STARS = 5

CITY = "the three-letter IATA code of an airport with flights, such as SAN (/airports?q= finds it)"
CHECK_OUT = f"a day as YYYY-MM-DD, 1 to {MOST_NIGHTS} nights after check_in"
GUESTS = f"a whole number from 1 to {MOST_GUESTS}"
STARS = f"the fewest stars, a whole number from 1 to {MOST_STARS}"
DISTANCE = "kilometres to the centre, 0 or more, with at most two digits after the point, such as 2.5"

Sort = Literal["price", "stars", "distance"]


class Position(NamedTuple):
    """A hotel's place in a search's order; compares as the hotels are sorted.

    Attributes:
        rank: by what the search is sorted by; less is better.
        price: of the stay, in cents.
        hotel: its id.
    """

    rank: int
    price: int
    hotel: str


def with_hotels(value: str, info: ValidationInfo) -> str:
    """A city, which must have hotels."""
    state: Any = info.context
    if state is not None and value not in state.hotels.cities:
        raise NotAllowedError("has no hotels, as no flight goes there", CITY)
    return value


def _read_check_out(value: str, info: ValidationInfo) -> dt.date:
    try:
        day = dt.date.fromisoformat(value) if _DAY.fullmatch(value) else None
    except ValueError:
        day = None
    if day is None:
        raise NotAllowedError("is no date", CHECK_OUT)
    check_in = info.data.get("check_in")
    if check_in is not None and not 1 <= (day - check_in).days <= MOST_NIGHTS:
        raise NotAllowedError(f"is not 1 to {MOST_NIGHTS} nights after check_in", CHECK_OUT)
    return day


def _whole(most: int, reason: str, allowed: str) -> BeforeValidator:
    """Reads a whole number from 1 to `most`."""

    def read(value: str) -> int:
        number = int(value) if value.isascii() and value.isdigit() and len(value) <= len(str(most)) else 0
        if not 1 <= number <= most:
            raise NotAllowedError(reason, allowed)
        return number

    return BeforeValidator(read)


def _read_distance(value: str) -> float:
    if not _DISTANCE.fullmatch(value):
        raise NotAllowedError("is no distance", DISTANCE)
    return float(value)


_DAY = re.compile("^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
_DISTANCE = re.compile(r"^[0-9]{1,4}(\.[0-9]{1,2})?$")

CheckOut = Annotated[
    dt.date,
    BeforeValidator(_read_check_out),
    WithJsonSchema({"type": "string", "format": "date"}),
    Field(description=CHECK_OUT),
]
Guests = Annotated[
    int,
    _whole(MOST_GUESTS, "is no number of guests", GUESTS),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MOST_GUESTS}),
    Field(description=GUESTS),
]
Stars = Annotated[
    int,
    _whole(MOST_STARS, "is no number of stars", STARS),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MOST_STARS}),
]
Distance = Annotated[
    float, BeforeValidator(_read_distance), WithJsonSchema({"type": "string", "pattern": _DISTANCE.pattern})
]
After = Annotated[
    Position, BeforeValidator(cursor.reader(Position, lambda: HotelSearch)), WithJsonSchema({"type": "string"})
]


@dataclass(frozen=True, kw_only=True)
class HotelSearch:
    """Which hotels are asked for, in which order, and from where on: the parameters of `GET /hotels`.

    Attributes:
        stars: at least so many.
        max_price: of the stay, all rooms and nights.
        sort: the best first; hotels that are as good go by price and id.
        cursor: the last hotel of the page before.
    """

    city: Annotated[Code, AfterValidator(with_hotels), Field(description=CITY)]
    check_in: Day
    check_out: CheckOut
    guests: Guests
    stars: Annotated[Stars | None, Field(description=STARS)] = None
    max_price: Annotated[Amount | None, Field(description=AMOUNT)] = None
    max_distance: Annotated[Distance | None, Field(description=DISTANCE)] = None
    sort: Annotated[Sort, Field(description=f"{one_of(get_args(Sort))}, the best first")] = "price"
    limit: Limit = DEFAULT_LIMIT
    cursor: Annotated[After | None, Field(description=CURSOR)] = None

    def __str__(self) -> str:
        """The search in a word, whatever the page."""
        asked = [f"{name}={value}" for name in _FILTERS if (value := getattr(self, name)) is not None]
        stay = f"{self.city}-{self.check_in}-{self.check_out}-{self.guests}"
        return "&".join([stay, *asked, self.sort])


_FILTERS = "stars", "max_price", "max_distance"

PARAMETERS = Parameters(HotelSearch)

RANKS: dict[Sort, Callable[[HotelOffer], int]] = {
    "price": lambda _: 0,
    "stars": lambda each: -each.stars,
    "distance": lambda each: round(each.distance_km * 1000),
}


class LocalHotels:
    """The hotels of the generated inventory."""

    name = LOCAL

    def __init__(self, lodging: Lodging) -> None:
        self._lodging = lodging

    @property
    def cities(self) -> frozenset[str]:
        """The codes of the airports that have hotels."""
        return self._lodging.cities

    async def offers(self, search: HotelSearch) -> list[HotelOffer]:
        """All hotels that the search finds, on whatever page, in its order."""
        found = (_offer(search, each) for each in self._lodging.around(search.city))
        return selected(search, (each for each in found if each is not None))


def selected(search: HotelSearch, offers: Iterable[HotelOffer]) -> list[HotelOffer]:
    """Those of a city's offers for a stay that the search finds, in its order."""
    return sorted((each for each in offers if _wanted(search, each)), key=position(search.sort))


def _wanted(search: HotelSearch, each: HotelOffer) -> bool:
    return (
        (search.stars is None or each.stars >= search.stars)
        and (search.max_price is None or each.price.amount <= search.max_price)
        and (search.max_distance is None or each.distance_km <= search.max_distance)
    )


def position(sort: Sort) -> Callable[[HotelOffer], Position]:
    """What says where a hotel stands in an order."""
    rank = RANKS[sort]
    return lambda each: Position(rank(each), round(each.price.amount * 100), each.id)


def page(search: HotelSearch, offers: Sequence[HotelOffer]) -> HotelPage:
    """Of what a search finds, in its order, the hotels behind its cursor, as many as fit."""
    shown, next_cursor = cursor.cut(search, offers, position(search.sort))
    return HotelPage(hotels=shown, total=len(offers), limit=search.limit, next_cursor=next_cursor)


def _offer(search: HotelSearch, building: Building) -> HotelOffer | None:
    """A stay in one hotel; None where it has not enough rooms in every night."""
    rooms = -(-search.guests // building.sleeps)
    nights = building.nights(search.check_in, (search.check_out - search.check_in).days)
    if min(night.available for night in nights) < rooms:
        return None
    stay = rooms * sum(night.price for night in nights)
    return HotelOffer(
        id=building.id,
        name=building.name,
        city=building.city,
        stars=building.stars,
        latitude=building.place.latitude,
        longitude=building.place.longitude,
        distance_km=building.distance,
        check_in=search.check_in,
        check_out=search.check_out,
        guests=search.guests,
        rooms=rooms,
        nights=[Night(*night) for night in nights],
        price=_price(stay),
        price_per_night=_price(stay / len(nights)),
        synthetic=True,
    )


def _price(amount: float) -> Price:
    return Price(round(amount, 2), CURRENCY, synthetic=True)
