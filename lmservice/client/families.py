"""The metrics of outbound calls, named by OpenTelemetry's semantic conventions as Prometheus spells them."""

from collections.abc import Iterable, Iterator

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric

from lmservice import names
from lmservice.telemetry.labels import Label
from lmservice.telemetry.metrics import BUCKETS

NAME = names.CLIENT_REQUEST_DURATION


class Families:
    """The families that all clients of one registry share; a collector, registered once in each."""

    def __init__(self) -> None:
        self.duration = Histogram(
            NAME,
            "Duration of attempts at outbound HTTP calls, in seconds.",
            ("http_request_method", "server_address", "server_port", "http_response_status_code", "error_type"),
            registry=None,
            buckets=BUCKETS,
        )
        labels = ("client", "host")
        self.retries = Counter(names.CLIENT_RETRIES, "Outbound calls repeated.", labels, registry=None)
        self.exhausted = Counter(
            names.CLIENT_RETRY_BUDGET_EXHAUSTED,
            "Outbound calls not repeated as the retry budget was used up.",
            labels,
            registry=None,
        )
        self.breaker = Gauge(
            names.CLIENT_BREAKER_STATE,
            "1 for the state that the host's circuit breaker is in.",
            (*labels, "state"),
            registry=None,
        )
        self.pool_wait = Histogram(
            names.CLIENT_POOL_WAIT,
            "How long outbound calls waited for a free connection, in seconds.",
            labels,
            registry=None,
            buckets=BUCKETS,
        )
        self.hosts = Label("server_address", "hosts")

    def describe(self) -> Iterable[Metric]:
        """Give the families' names, for the registry."""
        return [metric for family in self._all() for metric in family.describe()]

    def collect(self) -> Iterable[Metric]:
        """Give what has been counted."""
        return [metric for family in self._all() for metric in family.collect()]

    def _all(self) -> Iterator[Histogram | Counter | Gauge]:
        yield from (self.duration, self.retries, self.exhausted, self.breaker, self.pool_wait)
