"""`GET /`: the form, and what the search in the address finds."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from search_service import flights, hotels, trips
from search_service.airports import Airports
from search_service.database import UnavailableError
from search_service.days import DayOnRoute, Days
from search_service.flights import FlightSearch
from search_service.hotels import HotelSearch
from search_service.lodging import Place
from search_service.market import NoAnswerError
from search_service.markets import Markets, markets_for
from search_service.offers import FlightPage, HotelPage, Outcome, TripPage
from search_service.problems import RETRY_AFTER, InvalidParametersError, ParameterProblem
from search_service.trips import TripSearch
from search_service.web import assets, chart, links, routes, scatter, words
from search_service.web.forms import Form, Kind, forms
from search_service.web.places import ConnectionLimit

CHART_PATIENCE = 1.0
"""The chart of the days is left out where it takes longer, in seconds: it is not what was asked for."""

STRIP = 7
"""Days that can be chosen at a glance."""

HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

Search = FlightSearch | HotelSearch | TripSearch
Found = FlightPage | HotelPage | TripPage

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What the address asks for.

    Attributes:
        values: of the form, without those that are empty.
        searched: whether there is something to be found; else the form is shown alone.
        address: of the same search, as it is best written; None where it is written so.
    """

    form: Form
    values: dict[str, str]
    searched: bool
    address: str | None


@dataclass
class Outcomes:
    """What came of it: a page of offers, or problems with the question, or nobody who answered."""

    search: Search | None = None
    found: Found | None = None
    problems: Sequence[ParameterProblem] = ()
    absent: dict[str, Outcome] = field(default_factory=dict)
    days: list[DayOnRoute] = field(default_factory=list)

    @property
    def status(self) -> int:
        """Of the answer."""
        return 422 if self.problems else 503 if self.absent else 200


class Page:
    """What pages are made of, whatever is asked.

    Args:
        carriers: names by codes.
        where: where each airport is, by its code.
    """

    def __init__(self, airports: Airports, carriers: Mapping[str, str], where: Mapping[str, Place]) -> None:
        self.places = ConnectionLimit(airports)
        self.arcs = routes.draw(airports.served, where)
        self.forms = forms(carriers)
        self.template = _ENVIRONMENT.get_template("page.html")

    def asked(self, query: QueryParams) -> Asked:
        """Reads an address."""
        form = self.forms.get(cast("Kind", query.get("kind")), self.forms["flights"])
        given = [(name, value) for name, value in query.multi_items() if name in form.names]
        values = {name: value.strip() for name, value in given if value.strip()}
        for each in form.fields:
            if each.input == "airport" and each.name in values:
                values[each.name] = self.places.code(values[each.name])
        as_given = values and given != list(values.items())
        return Asked(form, values, bool(given), links.results(form.kind, values) if as_given else None)


async def show(request: Request) -> Response:
    """`GET /`: the page; a search that could be written better is sent to its better address first."""
    page: Page = request.state.page
    asked = page.asked(request.query_params)
    if asked.address is not None:
        return RedirectResponse(asked.address, 303)
    outcomes = await _searched(request, asked) if asked.searched else Outcomes()
    body = page.template.render(_context(page, asked, outcomes))
    headers = {**HEADERS, "Retry-After": RETRY_AFTER} if outcomes.absent else HEADERS
    return HTMLResponse(body, outcomes.status, headers)


async def _searched(request: Request, asked: Asked) -> Outcomes:
    read, find, route = _KINDS[asked.form.kind]
    try:
        search = read(QueryParams(asked.values), request.state)
    except InvalidParametersError as error:
        return Outcomes(problems=error.problems)
    outcomes = Outcomes(search)
    days = asyncio.create_task(_days(request, *route(search))) if route else None
    try:
        outcomes.found = await find(markets_for(request), search)
    except NoAnswerError as error:
        outcomes.absent = error.outcomes
    finally:
        outcomes.days = await days if days else []
    return outcomes


async def _days(request: Request, *route: Any) -> list[DayOnRoute]:
    days: Days = request.state.days
    try:
        async with asyncio.timeout(CHART_PATIENCE):
            return await days.find(*route)
    except (UnavailableError, TimeoutError) as error:
        _log.warning("the days around are left out", extra={"error": f"{type(error).__name__}: {error}"})
        return []


def _context(page: Page, asked: Asked, outcomes: Outcomes) -> dict[str, Any]:
    form, values = asked.form, asked.values if asked.searched else asked.form.initial()
    day = values.get("date") or values.get("check_in", "")
    chosen = next((each for each in outcomes.days if str(each.date) == day), None)
    return {
        "form": form,
        "forms": page.forms,
        "filled": form.filled(values, outcomes.problems),
        "values": values,
        "sort": values.get("sort", form.orders[0][0] if form.orders else ""),
        "asked": asked,
        "outcomes": outcomes,
        "found": outcomes.found,
        "search": outcomes.search,
        "places": page.places,
        "arcs": page.arcs,
        "chart": chart.draw(outcomes.days, chosen.date) if chosen else None,
        "scatter": scatter.draw(outcomes.found.hotels) if isinstance(outcomes.found, HotelPage) else None,
        "strip": _strip(outcomes.days, day),
        "nearest": _nearest(outcomes.days, chosen),
    }


def _strip(days: Sequence[DayOnRoute], day: str) -> Sequence[DayOnRoute]:
    """The days next to the chosen one."""
    at = next((at for at, each in enumerate(days) if str(each.date) == day), 0)
    first = min(max(at - STRIP // 2, 0), max(len(days) - STRIP, 0))
    return days[first : first + STRIP]


def _nearest(days: Sequence[DayOnRoute], chosen: DayOnRoute | None) -> list[DayOnRoute]:
    """Other days with flights, the nearest first."""
    flown = [each for each in days if each.cheapest is not None and each is not chosen]
    return sorted(flown, key=lambda each: abs(each.date - chosen.date))[:3] if chosen else []


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("search_service.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "long_day": words.long_day,
        "short_day": words.short_day,
        "clock": words.clock,
        "duration": words.duration,
        "money": words.money,
        "dollars": words.dollars,
        "at_least": words.at_least,
        "percent": words.percent,
        "counted": words.counted,
        "missing": words.missing,
        "days_later": words.days_later,
    }
    environment.globals |= {
        "address": assets.address,
        "link": links.link,
        "results": links.results,
        "carried": links.carried,
        "moved": links.moved,
    }
    return environment


_ENVIRONMENT = _environment()


Find = Callable[[Markets, Any], Awaitable[Found]]
Route = Callable[[Any], tuple[Any, ...]]

_KINDS: dict[Kind, tuple[Callable[[QueryParams, Any], Search], Find, Route | None]] = {
    "flights": (
        flights.PARAMETERS.read,
        lambda markets, search: markets.flights.page(search),
        lambda search: (search.origin, search.destination, search.date),
    ),
    "hotels": (hotels.PARAMETERS.read, lambda markets, search: markets.hotels.page(search), None),
    "trips": (
        trips.PARAMETERS.read,
        trips.find_trips,
        lambda search: (search.origin, search.destination, search.check_in),
    ),
}
"""Of each kind: how it is read, how it is found, and the route and the day that its chart is of."""
