"""What a version's pods have answered: counts of lmservice's own histogram, from Prometheus or the pods themselves.

`http_server_request_duration_seconds` is a counter by route, method and status for each pod; a window's figures are the
differences between two readings, as far as the pod has not begun anew meanwhile.
"""

import json
import math
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

from lmservice.deploy.cluster import Cluster
from lmservice.deploy.errors import ReleaseFailedError
from lmservice.names import REQUEST_DURATION

_SERVER_ERROR = 500
_TIMEOUT = 10.0
Sample: TypeAlias = tuple[str, Mapping[str, str], float]


@dataclass(frozen=True)
class Counts:
    """Requests answered, how many of them with 5xx, and how many within each bound, in seconds."""

    requests: float = 0.0
    errors: float = 0.0
    within: Mapping[float, float] = field(default_factory=dict)

    def __add__(self, other: "Counts") -> "Counts":
        bounds = sorted({*self.within, *other.within})
        within = {bound: self.within.get(bound, 0.0) + other.within.get(bound, 0.0) for bound in bounds}
        return Counts(self.requests + other.requests, self.errors + other.errors, within)

    def since(self, before: "Counts") -> "Counts":
        """What came after `before`; everything, where the process has begun anew."""
        if self.requests < before.requests:
            return self
        within = {bound: count - before.within.get(bound, 0.0) for bound, count in self.within.items()}
        return Counts(self.requests - before.requests, self.errors - before.errors, within)

    @property
    def error_ratio(self) -> float:
        """5xx over all; 0 where there was nothing."""
        return self.errors / self.requests if self.requests else 0.0

    def quantile(self, share: float) -> float:
        """Seconds within which this share was answered, straight between two bounds, as Prometheus has it."""
        rank = share * self.requests
        for (low, below), (high, upto) in pairwise([(0.0, 0.0), *self.within.items()]):
            if upto >= rank > below:
                return low if math.isinf(high) else low + (high - low) * (rank - below) / (upto - below)
        return 0.0

    def slower(self, seconds: float) -> float:
        """How many took longer than so many seconds, straight between two bounds."""
        for (low, below), (high, upto) in pairwise([(0.0, 0.0), *self.within.items()]):
            if low <= seconds <= high:
                part = 0.0 if math.isinf(high) else (seconds - low) / (high - low)
                return self.requests - (below + (upto - below) * part)
        return 0.0


class Metrics(Protocol):
    """Where counts are read from."""

    def read(self, namespace: str, pods: Sequence[str]) -> dict[str, Counts]:
        """The counts of each pod, by its name; a pod that cannot be read is left out."""


class PodMetrics:
    """The pods' own `/metrics`, through the API server."""

    def __init__(self, cluster: Cluster, port: int) -> None:
        self._cluster, self._port = cluster, port

    def read(self, namespace: str, pods: Sequence[str]) -> dict[str, Counts]:
        """One scrape of each."""
        found = {}
        for name in pods:
            try:
                found[name] = counted(parsed(self._cluster.proxied(namespace, name, self._port, "/metrics")))
            except Exception:  # noqa: BLE001, S112 - a pod that cannot be read has no figures, which the verdict sees
                continue
        return found


class PrometheusMetrics:
    """Prometheus' last scrape of the pods, told apart by the label `pod`."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def read(self, namespace: str, pods: Sequence[str]) -> dict[str, Counts]:
        """One query for all of them."""
        names = "|".join(pods)  # of letters, digits and hyphens
        query = f'{{__name__=~"{REQUEST_DURATION}_(count|bucket)",namespace="{namespace}",pod=~"{names}"}}'
        samples: dict[str, list[Sample]] = defaultdict(list)
        for each in self._query(query):
            labels = each["metric"]
            _, value = each["value"]
            samples[labels["pod"]].append((labels["__name__"], labels, float(value)))
        return {name: counted(found) for name, found in samples.items()}

    def _query(self, query: str) -> list[dict[str, Any]]:
        body = urllib.parse.urlencode({"query": query}).encode()
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/query", data=body, timeout=_TIMEOUT) as answer:  # noqa: S310
                found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        except (OSError, ValueError, KeyError) as error:
            host = urllib.parse.urlsplit(self._url).hostname
            raise ReleaseFailedError(
                f"Prometheus at {host} gives no figures: {type(error).__name__}: {error}"
            ) from None
        return found


def parsed(text: str) -> list[Sample]:
    """The histogram's samples of an exposition."""
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - only when analysing

    lines = [line for line in text.splitlines() if line.startswith((REQUEST_DURATION, f"# TYPE {REQUEST_DURATION}"))]
    families = text_string_to_metric_families("\n".join([*lines, ""]))
    return [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]


def counted(samples: Iterable[Sample]) -> Counts:
    """One pod's counts over all of its routes and methods."""
    requests = errors = 0.0
    within: dict[float, float] = defaultdict(float)
    for name, labels, value in samples:
        if name == f"{REQUEST_DURATION}_count":
            requests += value
            errors += value if int(labels.get("http_response_status_code", 0)) >= _SERVER_ERROR else 0.0
        elif name == f"{REQUEST_DURATION}_bucket":
            within[float(labels["le"])] += value
    return Counts(requests, errors, dict(sorted(within.items())))
