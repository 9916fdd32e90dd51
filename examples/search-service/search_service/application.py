"""The search service, put together."""

from collections.abc import AsyncIterator
from importlib.metadata import version

from pydantic_core import to_json
from sqlalchemy import select
from starlette.datastructures import State

from lmservice import Service
from search_service import airports, flights, openapi, problems, schema, tables, timetable
from search_service.airports import Airports, search_airports
from search_service.answers import Answers, Counts, DeadlineError
from search_service.cache import Cache
from search_service.database import Database, UnavailableError
from search_service.flights import LocalFlights, search_flights
from search_service.openapi import Operation
from search_service.problems import InvalidParametersError
from search_service.settings import SearchSettings
from search_service.timetable import Timetable

ATTEMPTS = 6
"""How often a start tries what the database may refuse for a moment: some ten seconds altogether."""

ABOUT = (
    "Search of every flight that left New York in 2013, as the record has them; prices are made up by a stated rule."
)

FLIGHT = {"origin": "JFK", "destination": "LAX", "date": "2013-07-04", "sort": "price"}

OPERATIONS = [
    Operation("/flights", search_flights, flights.PARAMETERS, flights.PAGE, FLIGHT),
    Operation("/airports", search_airports, airports.PARAMETERS, airports.PAGE, {"q": "san fran"}),
]

service = Service(
    "search-service",
    routes=openapi.routes(OPERATIONS, "Search", version("search-service"), ABOUT),
    settings=SearchSettings,
    version=version("search-service"),
    exception_handlers={
        InvalidParametersError: problems.invalid_parameters,
        UnavailableError: problems.unavailable,
        DeadlineError: problems.unavailable,
    },
)

counts = Counts(service.metrics)


@service.startup_job(name="database", attempts=ATTEMPTS)
async def connected_database(state: State) -> AsyncIterator[Database]:
    """The database, for as long as the service lives."""
    settings: SearchSettings = state.settings
    database = Database(settings.database_url, settings.database_pool_size, settings.database_timeout)
    try:
        await database.reach()
        database.observed(service.metrics)
        yield database
    finally:
        await database.close()


@service.startup_job(name="schema", after=["database"], attempts=ATTEMPTS)
async def current_schema(state: State) -> None:
    """The tables, as this version wants them."""
    with state.database.explained():
        await schema.upgrade(state.database)


@service.startup_job(name="timetable", after=["schema"], attempts=ATTEMPTS)
async def imported_timetable(state: State) -> Timetable:
    """The timetable, imported by the first instance to start."""
    with state.database.explained():
        return await timetable.prepare(state.database)


@service.startup_job(name="flights", after=["timetable"])
async def local_flights(state: State) -> LocalFlights:
    """The flights, as every search finds them."""
    return LocalFlights(state.database)


@service.startup_job(name="airports", after=["timetable"])
async def known_airports(state: State) -> Airports:
    """The airports, which are few enough to keep at hand."""
    return await airports.load(state.database)


@service.startup_job(name="cache", after=["timetable"])
async def shared_cache(state: State) -> AsyncIterator[Cache | None]:
    """The cache, where there is to be one; whether it answers does not matter."""
    settings: SearchSettings = state.settings
    if not settings.redis_url:
        yield None
        return
    cache = Cache(settings.redis_url, settings.redis_timeout, settings.cache_ttl)
    _use(cache, state.timetable.version)
    try:
        yield cache
    finally:
        await cache.close()


@service.startup_job(name="answers", after=["cache"])
async def prompt_answers(state: State) -> Answers:
    """What answers every search."""
    return Answers(state.cache, state.settings.search_deadline, counts)


@service.health_check(name="database", interval=1, critical=True)
async def database_answers(state: State) -> bool:
    """Whether the timetable can be read; what is cached of another timetable is left behind."""
    database: Database = state.database
    rows = await database.rows(database.prepare(_VERSION), {})
    if rows and state.cache is not None:
        _use(state.cache, rows[0][0])
    return bool(rows)


@service.health_check(name="cache", interval=1)
async def cache_answers(state: State) -> bool:
    """Whether the cache does; without it the service is slower, and no less right."""
    return state.cache is None or await state.cache.ping()


@service.periodic_job(every=20)
async def popular_searches(state: State) -> None:
    """Keeps the answers to popular searches in the cache."""
    await state.answers.refresh()


def _use(cache: Cache, data: str) -> None:
    """Ties the cache to the data that answers are made of, and to the form that they have."""
    cache.use(data, _FORM)


_FORM = to_json([version("search-service"), flights.PAGE.json_schema(mode="serialization")]).decode()
_VERSION = select(tables.timetable.c.version)
