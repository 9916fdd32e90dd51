"""A hook of schemathesis: asks about places and days that exist, where it would make some up and learn little."""

from typing import Any

import schemathesis

REAL = {"origin": "JFK", "destination": "LAX", "date": "2013-07-04", "q": "new"}


@schemathesis.hook
def map_query(_context: schemathesis.HookContext, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """A search that finds something, however it is filtered, sorted and cut into pages."""
    if query is None:
        return None
    real = {name: REAL.get(name, value) for name, value in query.items()}
    real.pop("cursor", None)
    return real
