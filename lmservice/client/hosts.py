"""What a client knows of each host: breaker, retry budget, and the series that its calls are counted in."""

import logging
from collections import OrderedDict
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx
from prometheus_client import CollectorRegistry

from lmservice.client.breaker import Breaker, BreakerState
from lmservice.client.budget import Budget
from lmservice.client.connection_limit import ConnectionLimit
from lmservice.client.families import NAME, Families
from lmservice.client.policy import ClientPolicy
from lmservice.telemetry.labels import LIMIT, OTHER, known_methods
from lmservice.telemetry.metrics import shared_collector

if TYPE_CHECKING:
    from collections.abc import Callable

_PORTS = {"http": 80, "https": 443}

_log = logging.getLogger("lmservice.client")


class Host:
    """One host and port.

    Attributes:
        name: as messages and labels have it: `api.example:8443`.
        attributes: what the span of each call to it has.
        places: the connections that calls to it may have at once.
        observe_wait: notes how long a call waited for one, in seconds.
        count_retry: counts a retry.
        count_exhausted: counts a retry that the budget did not allow.
    """

    def __init__(self, url: httpx.URL, client: str, policy: ClientPolicy, families: Families, limit: int) -> None:
        self.name = url.netloc.decode("ascii")
        self.client = client
        port = url.port or _PORTS.get(url.scheme, 0)
        self.attributes: dict[str, Any] = {"server.address": url.host, "server.port": port}
        self.origin = f"{url.scheme}://{self.name}"
        self.budget = Budget(policy.budget_ratio, policy.budget_floor)
        self.breaker = Breaker(policy, self._breaker_changed)
        self.places = ConnectionLimit(limit)
        self._duration = families.duration
        self._calls = self._failed = 0
        self._seconds = 0.0
        label = families.hosts.value(self.name)
        self._server = (OTHER, "") if label == OTHER else (url.host, str(port))
        self.methods = known_methods()
        self._observers: dict[tuple[str, int, str], Callable[[float], None]] = {}
        self.count_retry = families.retries.labels(client, label).inc
        self.observe_wait = families.pool_wait.labels(client, label).observe
        self.count_exhausted = families.exhausted.labels(client, label).inc
        self._states: dict[BreakerState, Any] = {}
        if label != OTHER:  # which would be the state of nobody in particular
            self._states = {state: families.breaker.labels(client, label, state.value) for state in BreakerState}
        self._show(BreakerState.CLOSED)

    def observe(self, method: str, status: int, error: str, seconds: float) -> None:
        """Count one attempt; `status` is 0 and `error` says why where there was no answer."""
        self._calls += 1
        self._seconds += seconds
        if error or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._failed += 1
        key = method, status, error
        observe = self._observers.get(key)
        if observe is None:
            known = method if method in self.methods else OTHER
            labels = (known, *self._server, str(status or ""), error)
            observe = self._duration.labels(*labels).observe
            if known == method:  # of others there may be no end
                self._observers[key] = observe
        observe(seconds)

    def report(self) -> dict[str, Any]:
        """Return the breaker's state, and all attempts so far: how many, how many failed or with a 5xx, how long."""
        known = {"client": self.client, "host": self.name, "breaker": self.breaker.state.value}
        return {**known, "calls": self._calls, "failed": self._failed, "seconds": self._seconds}

    def _breaker_changed(self, state: BreakerState) -> None:
        self._show(state)
        if state is BreakerState.OPEN:
            self.places.dismiss()  # who waits for a connection is told at once as well
        level = logging.WARNING if state is BreakerState.OPEN else logging.INFO
        values = {"client": self.client, "host": self.name, "state": state.value}
        _log.log(level, "lmservice.client_breaker", extra=values)

    def _show(self, now: BreakerState) -> None:
        for state, gauge in self._states.items():
            gauge.set(float(state is now))


class Hosts:
    """The hosts of one client: the `LIMIT` that it called last; an absolute URL may name any.

    Args:
        client: the client's name.
        policy: what each host's breaker and budget keep to.
        registry: where the metrics are.
        limit: how many calls to each may be under way at once.
    """

    def __init__(self, client: str, policy: ClientPolicy, registry: CollectorRegistry, limit: int) -> None:
        self._client, self._policy, self._limit = client, policy, limit
        self._families = shared_collector(registry, NAME, Families)
        self._known: OrderedDict[tuple[str, bytes], Host] = OrderedDict()

    def report(self) -> list[dict[str, Any]]:
        """Return what is known of each; may be called from any thread."""
        return [host.report() for host in list(self._known.values())]

    def of(self, url: httpx.URL) -> Host:
        """Return the host that a URL names."""
        key = url.scheme, url.netloc
        host = self._known.get(key)
        if host is None:
            if len(self._known) >= LIMIT:
                self._known.popitem(last=False)
            host = self._known[key] = Host(url, self._client, self._policy, self._families, self._limit)
        else:
            self._known.move_to_end(key)
        return host
