"""The requests in flight, for people."""

import time
from collections.abc import Collection
from typing import Any

from lmservice.web.exchange import Exchange
from lmservice.web.routes import RouteTemplates


def report(in_flight: Collection[Exchange], templates: RouteTemplates) -> list[dict[str, Any]]:
    """Return what is known of each, the oldest first; may be called from any thread."""
    now = time.monotonic()
    return [
        {
            "seconds": round(now - exchange.started, 3),
            "method": exchange.method,
            "route": templates.of(exchange.scope),
            "answering": bool(exchange.status),
            "path": exchange.path,
            "request_id": exchange.request_id,
        }
        for exchange in sorted(in_flight, key=lambda exchange: exchange.started)
    ]
