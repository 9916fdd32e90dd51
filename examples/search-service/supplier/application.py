"""The supplier, put together from the search service's own parts."""

from importlib.metadata import version

from search_service import application, record
from search_service.endpoints import search_flights, search_hotels
from starlette.datastructures import State
from starlette.middleware import Middleware
from starlette.routing import Route

from lmservice import Service
from supplier.catalogue import SoldFlights, SoldHotels
from supplier.settings import SupplierSettings
from supplier.trouble import Troubled

TROUBLED = [Middleware(Troubled)]

service = Service(
    "supplier",
    routes=[
        Route("/flights", search_flights, middleware=TROUBLED),
        Route("/hotels", search_hotels, middleware=TROUBLED),
    ],
    settings=SupplierSettings,
    version=version("search-service"),
    exception_handlers=application.HANDLERS,
)

record.start(service)


@service.startup_job(name="cache")
async def no_cache() -> None:
    """None: that of the service that asks is enough."""


service.health_check(name="database", interval=1, critical=True)(application.database_answers)


@service.startup_job(name="flights", after=["timetable"])
async def sold_flights(state: State) -> SoldFlights:
    """The flights that it sells."""
    return SoldFlights(state.settings.supplier_name, await application.local_flights(state))


@service.startup_job(name="hotels", after=["places"])
def sold_hotels(state: State) -> SoldHotels:
    """The hotels that it sells."""
    return SoldHotels(state.settings.supplier_name, application.local_hotels(state))
