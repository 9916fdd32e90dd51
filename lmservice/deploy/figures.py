"""What a version's pods have answered: counts of lmservice's own histogram, from Prometheus or the pods themselves.

`http_server_request_duration_seconds` is a counter by route, method and status for each pod; a window's figures are the
differences between two readings, as far as the pod has not begun anew meanwhile.
"""

import base64
import contextlib
import http.client
import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

from lmservice.deploy.cluster import Cluster
from lmservice.deploy.errors import ReleaseFailedError
from lmservice.names import READY, REQUEST_DURATION, REQUESTS_REJECTED

_SERVER_ERROR = 500
_TIMEOUT = 10.0
Sample: TypeAlias = tuple[str, Mapping[str, str], float]


@dataclass(frozen=True)
class Counts:
    """Requests answered, how many of them with 5xx, and how many within each bound, in seconds.

    Attributes:
        routes: the same of each method and route by itself (`GET /items/{id}`); empty where they are not told apart.
    """

    requests: float = 0.0
    errors: float = 0.0
    within: Mapping[float, float] = field(default_factory=dict)
    routes: Mapping[str, "Counts"] = field(default_factory=dict, compare=False)

    def __add__(self, other: "Counts") -> "Counts":
        bounds = sorted({*self.within, *other.within})
        within = {bound: self.within.get(bound, 0.0) + other.within.get(bound, 0.0) for bound in bounds}
        names = dict.fromkeys((*self.routes, *other.routes))
        routes = {name: self.routes.get(name, _NONE) + other.routes.get(name, _NONE) for name in names}
        return Counts(self.requests + other.requests, self.errors + other.errors, within, routes)

    def since(self, before: "Counts") -> "Counts":
        """Return what came after `before`; everything, where the process has begun anew."""
        if self.requests < before.requests:
            return self
        within = {bound: count - before.within.get(bound, 0.0) for bound, count in self.within.items()}
        routes = {name: counts.since(before.routes.get(name, _NONE)) for name, counts in self.routes.items()}
        return Counts(self.requests - before.requests, self.errors - before.errors, within, routes)

    def by_route(self) -> Mapping[str, "Counts"]:
        """Return the counts of each route; all of them by an empty name, where they are not told apart."""
        return self.routes or {"": self}

    def outlasts_buckets(self, share: float) -> bool:
        """Return whether more than this share took longer than the largest finite bound, as streams do."""
        finite = [bound for bound in self.within if math.isfinite(bound)]
        return self.slower(max(finite, default=0.0)) > share * self.requests

    @property
    def error_ratio(self) -> float:
        """Return 5xx over all; 0 where there was nothing."""
        return self.errors / self.requests if self.requests else 0.0

    def quantile(self, share: float) -> float:
        """Return the seconds within which this share was answered, straight between bounds, as Prometheus does."""
        rank = share * max(self.within.values(), default=0.0)
        for (low, below), (high, upto) in pairwise([(0.0, 0.0), *self.within.items()]):
            if upto >= rank > below:
                return low if math.isinf(high) else low + (high - low) * (rank - below) / (upto - below)
        return 0.0

    def slower(self, seconds: float) -> float:
        """Return how many took longer than so many seconds, straight between two bounds."""
        for (low, below), (high, upto) in pairwise([(0.0, 0.0), *self.within.items()]):
            if low <= seconds <= high:
                part = 0.0 if math.isinf(high) else (seconds - low) / (high - low)
                return self.requests - (below + (upto - below) * part)
        return 0.0


_NONE = Counts()


class FiguresError(ReleaseFailedError):
    """The figures cannot be had just now; the message says from where and why."""


class FiguresSource(Protocol):
    """Where counts are read from; its text names it."""

    def read(self, namespace: str, pods: Sequence[str]) -> dict[str, Counts]:
        """Return the counts of each pod, by its name; a pod of which nothing is known is left out.

        Raises:
            FiguresError: none can be had.
        """


class PodMetrics:
    """The pods' own `/metrics`, through the API server."""

    def __init__(self, cluster: Cluster, port: int) -> None:
        self._cluster, self._port = cluster, port

    def __str__(self) -> str:
        return f"/metrics on the pods' port {self._port}"

    def read(self, namespace: str, pods: Sequence[str]) -> dict[str, Counts]:
        """Scrape each once, all at once, as each may take its whole time."""
        with ThreadPoolExecutor(max(1, len(pods))) as scraping:
            read = dict(zip(pods, scraping.map(partial(self._scraped, namespace), pods), strict=True))
        problem = next((f"{name}: {answer}" for name, answer in read.items() if isinstance(answer, str)), "")
        counts = {name: answer for name, answer in read.items() if isinstance(answer, Counts)}
        if problem and not counts:
            raise FiguresError(f"no pod tells its figures through the API server: {problem}")
        return counts

    def _scraped(self, namespace: str, pod: str) -> Counts | str:
        """Return the counts, or why there are none."""
        try:
            return counted(parsed(self._cluster.proxied(namespace, pod, self._port, "/metrics")))
        except (ReleaseFailedError, ValueError) as error:
            return str(error)


class PrometheusMetrics:
    """Prometheus' last scrape of the pods, told apart by the labels `namespace` and `pod`.

    Args:
        url: its base; what stands before an @ is sent as HTTP's basic authentication.
    """

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self._host = parts.netloc.rpartition("@")[2]
        self._url = parts._replace(netloc=self._host, path=f"{parts.path.rstrip('/')}/api/v1/query").geturl()
        self._headers = _basic(parts.username, parts.password)

    def __str__(self) -> str:
        return f"Prometheus at {self._host}"

    def read(self, namespace: str, pods: Sequence[str]) -> dict[str, Counts]:
        """Ask once for all of them; a pod that is scraped but was asked nothing yet has counts of 0."""
        names = "|".join(pods)  # of letters, digits and hyphens
        families = f"{REQUEST_DURATION}_(count|bucket)|{REQUESTS_REJECTED}|{READY}"
        samples: dict[str, list[Sample]] = defaultdict(list)
        for series in self._asked(f'{{__name__=~"{families}",namespace="{namespace}",pod=~"{names}"}}'):
            labels = series["metric"]
            samples[labels["pod"]].append((labels["__name__"], labels, float(series["value"][1])))
        return {name: counted(own) for name, own in samples.items()}

    def _asked(self, query: str) -> list[dict[str, Any]]:
        request = urllib.request.Request(self._url, urllib.parse.urlencode({"query": query}).encode(), self._headers)  # noqa: S310
        try:
            with urllib.request.build_opener(_WithinHost).open(request, timeout=_TIMEOUT) as answer:
                series: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise FiguresError(f"{self} refuses the query: {error.code} {_complaint(error)}") from None
        except (ValueError, KeyError, TypeError):
            raise FiguresError(
                f"{self} does not answer as Prometheus does: is LM_DEPLOY_PROMETHEUS_URL its base?"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise FiguresError(f"{self} gives no figures: {getattr(error, 'reason', None) or error}") from None
        return series


class _WithinHost(urllib.request.HTTPRedirectHandler):
    """Follows redirects to the same host, with the query; elsewhere neither it nor its credentials are sent."""

    def redirect_request(
        self, req: urllib.request.Request, _: Any, __: int, ___: str, ____: Any, newurl: str
    ) -> urllib.request.Request:
        """Return the same request to the new place."""
        host = urllib.parse.urlsplit(newurl).hostname
        if host != urllib.parse.urlsplit(req.full_url).hostname or not newurl.startswith(("https:", f"{req.type}:")):
            raise urllib.error.URLError(f"it redirects to {host}: name that in LM_DEPLOY_PROMETHEUS_URL")
        return urllib.request.Request(newurl, req.data, req.headers)  # noqa: S310 - http or https


def _basic(user: str | None, password: str | None) -> dict[str, str]:
    if user is None:
        return {}
    pair = f"{urllib.parse.unquote(user)}:{urllib.parse.unquote(password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _complaint(error: urllib.error.HTTPError) -> str:
    """Return what Prometheus says, else HTTP's own word."""
    with error, contextlib.suppress(ValueError, KeyError, TypeError, OSError):  # it holds the connection
        return str(json.load(error)["error"])[:200]
    return error.reason


def parsed(text: str) -> list[Sample]:
    """Return those samples of an exposition that are counted."""
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - only when analysing

    counted_ones = (REQUEST_DURATION, f"# TYPE {REQUEST_DURATION}", REQUESTS_REJECTED, f"# TYPE {REQUESTS_REJECTED}")
    lines = [line for line in text.splitlines() if line.startswith(counted_ones)]
    families = text_string_to_metric_families("\n".join([*lines, ""]))
    return [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]


def counted(samples: Iterable[Sample]) -> Counts:
    """Return one pod's counts, of each route and method and over all of them.

    Of the errors over all, those are left out that ended as their own caller would not wait longer.
    """
    outwaited = 0.0
    by_route: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        labels = sample[1]
        if sample[0] == REQUESTS_REJECTED and labels.get("reason") == "deadline":
            outwaited += sample[2]
        elif sample[0].startswith(REQUEST_DURATION):
            by_route[f"{labels.get('http_request_method', '')} {labels.get('http_route', '')}".strip()].append(sample)
    routes = {name: _summed(own) for name, own in by_route.items()}
    total = sum(routes.values(), _NONE)
    return replace(total, errors=max(0.0, total.errors - outwaited), routes=routes)


def _summed(samples: Iterable[Sample]) -> Counts:
    requests = errors = 0.0
    within: dict[float, float] = defaultdict(float)
    for name, labels, value in samples:
        if name == f"{REQUEST_DURATION}_count":
            requests += value
            errors += value if int(labels.get("http_response_status_code", 0)) >= _SERVER_ERROR else 0.0
        elif name == f"{REQUEST_DURATION}_bucket":
            within[float(labels["le"])] += value
    return Counts(requests, errors, dict(sorted(within.items())))
