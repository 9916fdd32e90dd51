"""The start of whatever service offers the record, from its database to the answers to searches."""

from collections.abc import AsyncIterator

from starlette.datastructures import State

from lmservice import Service
from search_service import airports, markets, schema, timetable
from search_service.airports import Airports
from search_service.answers import Answers, Counts
from search_service.database import Database
from search_service.lodging import Place
from search_service.markets import Markets
from search_service.timetable import Timetable

ATTEMPTS = 6
"""How often a start tries what a database that is there may refuse for a moment: some ten seconds altogether."""

REACH_TIMEOUT = 30
"""How long a start waits for the database to be there, in seconds."""


def start(service: Service) -> None:
    """Gives a service the start-up jobs that make its `database`, `timetable`, `airports`, `places` and `answers`.

    The last of them come after jobs of the service's own, `flights`, `hotels` and `cache`.
    """
    counts = Counts(service.metrics)

    @service.startup_job(name="database", attempts=None, timeout=REACH_TIMEOUT)
    async def connected_database(state: State) -> AsyncIterator[Database]:
        """The database, for as long as the service lives."""
        settings = state.settings
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

    @service.startup_job(name="airports", after=["timetable"])
    async def known_airports(state: State) -> Airports:
        """The airports, which are few enough to keep at hand."""
        return await airports.load(state.database)

    @service.startup_job(name="places", after=["timetable"])
    async def known_places(state: State) -> dict[str, Place]:
        """Where the airports lie that the timetable serves."""
        return await airports.places(state.database)

    @service.startup_job(name="markets", after=["flights", "hotels"])
    async def opened_markets(state: State) -> AsyncIterator[Markets]:
        """Where all of it is found, here and at the suppliers."""
        async with markets.opened(state, counts, service.metrics.registry) as opened:
            yield opened

    @service.startup_job(name="answers", after=["cache"])
    async def prompt_answers(state: State) -> Answers:
        """What answers every search."""
        return Answers(state.cache, state.settings.search_deadline, counts)
