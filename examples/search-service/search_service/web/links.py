"""Addresses of the page: the searches that it can show, as people read them."""

from collections.abc import Mapping
from datetime import date, timedelta
from urllib.parse import urlencode

from search_service.web.forms import Form, Kind

STAY = 3
"""Nights that are proposed to who looked for a flight."""


def link(kind: Kind, values: Mapping[str, str]) -> str:
    """Where a search is shown; what is empty is left out."""
    return f"/?{urlencode({'kind': kind, **{name: value for name, value in values.items() if value}}, safe=':')}"


def results(kind: Kind, values: Mapping[str, str]) -> str:
    """The same, going straight to the results."""
    return f"{link(kind, values)}#results"


def carried(values: Mapping[str, str], form: Form) -> dict[str, str]:
    """What of one kind's search makes sense in another's form; the rest is as in a form that nobody filled in."""
    place = values.get("destination") or values.get("city", "")
    day = values.get("date") or values.get("check_in", "")
    known = {**values, "destination": place, "city": place, "date": day, "check_in": day}
    if "date" in values:
        known["check_out"] = _leaving(day)
    wanted = {field.name for field in form.fields if not field.narrows}
    return {**form.initial(), **{name: value for name, value in known.items() if value and name in wanted}}


def _leaving(day: str) -> str:
    try:
        return str(date.fromisoformat(day) + timedelta(days=STAY))
    except ValueError:
        return ""


def moved(values: Mapping[str, str], day: date) -> dict[str, str]:
    """The same search on another day, from its first page; a stay is as long as it was."""
    others = {name: value for name, value in values.items() if name != "cursor"}
    if "date" in values:
        return {**others, "date": str(day)}
    nights = date.fromisoformat(values["check_out"]) - date.fromisoformat(values["check_in"])
    return {**others, "check_in": str(day), "check_out": str(day + nights)}
