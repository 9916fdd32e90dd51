"""The search service, put together."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json
from sqlalchemy import select
from starlette.datastructures import State
from starlette.routing import Route

from lmservice import Service
from search_service import problems, record, source, tables
from search_service.airports import search_airports
from search_service.answers import DeadlineError
from search_service.database import Database, UnavailableError
from search_service.days import Days
from search_service.endpoints import TRIPS, search_flights, search_hotels, search_trips
from search_service.flights import LocalFlights
from search_service.hotels import LocalHotels
from search_service.kinds import FLIGHTS, HOTELS
from search_service.lodging import Lodging
from search_service.market import NoAnswerError
from search_service.problems import InvalidParametersError
from search_service.settings import SearchSettings
from search_service.web import assets, page
from search_service.web.page import Page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from search_service.cache import Cache

HANDLERS: dict[Any, Any] = {
    InvalidParametersError: problems.invalid_parameters,
    UnavailableError: problems.unavailable,
    NoAnswerError: problems.unavailable,
    DeadlineError: problems.unavailable,
}
"""What answers the errors of searches."""

ABOUT = (
    "Search of every flight that left New York in 2013, as the record has them, and of hotels where they went;"
    " the hotels and all prices are made up by stated rules."
)

service = Service(
    "search-service",
    routes=[
        Route("/", page.show),
        Route("/static/{digest}/{name}", assets.serve),
        Route("/flights", search_flights),
        Route("/hotels", search_hotels),
        Route("/trips", search_trips),
        Route("/airports", search_airports),
    ],
    settings=SearchSettings,
    version=version("search-service"),
    exception_handlers=HANDLERS,
    openapi=ABOUT,
)

record.start(service)


@service.startup_job(name="flights", after=["timetable"])
async def local_flights(state: State) -> LocalFlights:
    """The flights, as every search finds them."""
    return LocalFlights(state.database)


@service.startup_job(name="hotels", after=["places"])
def local_hotels(state: State) -> LocalHotels:
    """The hotels around them."""
    return LocalHotels(Lodging(state.places))


@service.startup_job(name="days", after=["timetable"])
async def days_around(state: State) -> Days:
    """The days around one, for the page's chart."""
    return Days(state.database)


@service.startup_job(name="page", after=["airports", "places"])
def prepared_page(state: State) -> Page:
    """What the web page is made of."""
    return Page(state.airports, source.read_carriers(), state.places)


@service.startup_job(name="cache", after=["timetable"])
async def shared_cache(state: State) -> "AsyncIterator[Cache | None]":
    """The cache, where there is to be one; whether it answers does not matter."""
    settings: SearchSettings = state.settings
    if not settings.redis_url:
        yield None
        return
    from search_service.cache import Cache  # noqa: PLC0415 - Redis' client costs every start what only some need

    cache = Cache(settings.redis_url, settings.redis_timeout, settings.cache_ttl)
    _use(cache, state.timetable.version, settings)
    try:
        yield cache
    finally:
        await cache.close()


@service.health_check(name="database", interval=2, failures=2, critical=True)
async def database_answers(state: State) -> bool:
    """Whether the timetable can be read; what is cached of another timetable is left behind."""
    database: Database = state.database
    rows = await database.rows(database.prepare(_VERSION), {})
    if rows and state.cache is not None:
        _use(state.cache, rows[0][0], state.settings)
    return bool(rows)


@service.health_check(name="cache", interval=2, failures=2)
async def cache_answers(state: State) -> bool:
    """Whether the cache does; without it the service is slower, and no less right."""
    return state.cache is None or await state.cache.ping()


@service.periodic_job(every=20)
async def popular_searches(state: State) -> None:
    """Keeps the answers to popular searches in the cache."""
    await state.answers.refresh()


def _use(cache: "Cache", data: str, settings: SearchSettings) -> None:
    """Ties the cache to the data and the suppliers that answers are made of, and to the form that they have."""
    cache.use(data, _FORM, *settings.suppliers)


_PAGES = FLIGHTS.answers, HOTELS.answers, TRIPS
_FORM = to_json([version("search-service"), *(each.json_schema(mode="serialization") for each in _PAGES)]).decode()
_VERSION = select(tables.timetable.c.version)
