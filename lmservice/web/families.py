"""What `/metrics` tells of requests beside their durations: read at scrape time, from counts that are kept."""

from collections import Counter
from collections.abc import Collection
from typing import Protocol

from lmservice import names
from lmservice.telemetry.metrics import Metrics, Samples
from lmservice.web.admission import Admission
from lmservice.web.exchange import Exchange


class Counted(Protocol):
    """What the families are read from."""

    rejected: Counter[str]
    admission: Admission | None

    @property
    def in_flight(self) -> Collection[Exchange]:
        """The requests that have begun and are not answered wholly."""


def add_families(metrics: Metrics, layer: Counted, most: int) -> None:
    """Add them to the service's registry.

    Args:
        metrics: has the registry.
        layer: what the figures are of.
        most: how many requests may be in flight, whatever is measured.
    """
    metrics.on_scrape(
        names.REQUESTS_REJECTED,
        "Requests refused by a limit, by its name.",
        ("reason",),
        lambda: [((reason,), float(count)) for reason, count in layer.rejected.items()],
        kind="counter",
    )
    metrics.on_scrape(
        names.ACTIVE_REQUESTS, "Requests in flight.", ("http_request_method",), lambda: _active_requests(layer)
    )
    metrics.on_scrape(
        names.CONCURRENCY_LIMIT,
        "How many requests are handled at once before more are refused.",
        (),
        lambda: [((), float(most if layer.admission is None else min(most, layer.admission.limit)))],
    )
    metrics.on_scrape(
        names.CONCURRENCY_DEMAND,
        "Requests in flight, and those that would be had none been refused.",
        (),
        lambda: [((), len(layer.in_flight) + (0.0 if layer.admission is None else layer.admission.demand))],
    )


def _active_requests(layer: Counted) -> Samples:
    methods = Counter(exchange.method for exchange in list(layer.in_flight))
    return [((method,), float(methods[method])) for method in sorted({"GET", *methods})]
