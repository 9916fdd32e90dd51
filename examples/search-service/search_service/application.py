"""The search service, put together."""

from collections.abc import AsyncIterator
from importlib.metadata import version

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.datastructures import State
from starlette.routing import Route

from lmservice import Service
from search_service import airports, database, problems, tables, timetable
from search_service.airports import Airports, search_airports
from search_service.flights import LocalFlights, search_flights
from search_service.problems import InvalidParametersError
from search_service.settings import SearchSettings
from search_service.timetable import Timetable

service = Service(
    "search-service",
    routes=[Route("/flights", search_flights), Route("/airports", search_airports)],
    settings=SearchSettings,
    version=version("search-service"),
    exception_handlers={InvalidParametersError: problems.answer},
)


@service.startup_job(name="database")
async def connected_database(state: State) -> AsyncIterator[AsyncEngine]:
    """The engine, for as long as the service lives."""
    engine = database.open_engine(state.settings.database_url)
    try:
        yield engine
    finally:
        await engine.dispose()


@service.startup_job(name="timetable", after=["database"])
async def imported_timetable(state: State) -> Timetable:
    """The timetable, imported by the first instance to start."""
    with database.explained(state.database):
        return await timetable.prepare(state.database)


@service.startup_job(name="flights", after=["timetable"])
async def local_flights(state: State) -> LocalFlights:
    """The flights, as every search finds them."""
    return LocalFlights(state.database)


@service.startup_job(name="airports", after=["timetable"])
async def known_airports(state: State) -> Airports:
    """The airports, which are few enough to keep at hand."""
    return await airports.load(state.database)


@service.health_check(name="database", critical=True)
async def database_answers(state: State) -> bool:
    """Whether the timetable can be read."""
    async with state.database.connect() as connection:
        return (await connection.execute(select(tables.timetable.c.version))).first() is not None
