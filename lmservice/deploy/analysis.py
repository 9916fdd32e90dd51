"""The comparison of a canary with the stable version, over the same window.

A canary is worse where the difference is more than chance: the share of its bad answers is taken at the lower end of
Wilson's 95 % interval, so that one failure in fifty requests condemns nobody, and five in a hundred do. An answer is
bad as an error (5xx), over all routes, and as a slow one, where it took longer than the stable's p99 of its own route
allows; of the slow ones, one in a hundred is every version's due.

Slow answers are summed up over the routes for one comparison, as with one for each the chance of a false alarm would
grow with their number. A route that got slow among many others is found by a stricter one of its own, whose chance is
divided by their number. Routes that the stable version was asked too little for are compared as if they were one, and
those whose stable p99 lies beyond the largest bucket not at all: how long streams last is up to their clients.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from lmservice.deploy.figures import Counts, FiguresError, FiguresSource
from lmservice.deploy.pods import Pod
from lmservice.deploy.settings import DeploySettings

Z = 1.96
SLOWEST = 0.01
CHANCE = 0.025
"""What `Z` leaves for chance, above."""
REST = "the routes with few requests"
SAMPLED = 10
"""How many pods of a version are read at the most; those that are, are read throughout the window."""


class Outcome(StrEnum):
    """What a comparison says."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Verdict:
    """An outcome and why."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class RouteLatency:
    """The latency of both versions at one route, and how long an answer of the canary may take, in seconds."""

    route: str
    canary: Counts
    stable: Counts
    limit: float

    @property
    def slow(self) -> float:
        """Return how many of the canary's answers took longer."""
        return self.canary.slower(self.limit)

    @property
    def excess(self) -> float:
        """Return how many of those are more than every version's due."""
        return self.slow - SLOWEST * self.canary.requests

    def is_worse(self, chance: float) -> bool:
        """Return whether there are more than the stable may have had, but for so small a chance.

        By Chernoff's bound on the binomial distribution, as Wilson's interval is too narrow for the few requests that
        one route may have: it would condemn for one slow answer in ten. A single one is never enough.
        """
        usual = self.stable.slower(self.limit)
        due = max(SLOWEST, 1 - wilson_lower_bound(self.stable.requests - usual, self.stable.requests))
        return self.slow > 1 and _chance(self.slow, self.canary.requests, due) < chance


@dataclass
class Window:
    """What both versions have answered since the window began.

    Attributes:
        canary: the canary's counts so far.
        stable: the stable version's.
        gap: why the last reading does not tell of both; empty where it does.
        gaps: how many readings in a row did not.
        unread: how many readings in a row could not be had at all.
    """

    metrics: FiguresSource
    namespace: str
    canary: Counts = field(default_factory=Counts)
    stable: Counts = field(default_factory=Counts)
    gap: str = ""
    gaps: int = 0
    unread: int = 0
    _last: dict[str, Counts] = field(default_factory=dict)

    def read(self, pods: Sequence[Pod]) -> None:
        """Add what came since the last reading; a pod's first one only begins its part of the window."""
        chosen = [*self._chosen(pods, canary=True), *self._chosen(pods, canary=False)]
        canaries = {pod.name for pod in chosen if pod.canary}
        try:
            figures = self.metrics.read(self.namespace, [pod.name for pod in chosen])
        except FiguresError as error:
            self.gap, self.gaps, self.unread = str(error), self.gaps + 1, self.unread + 1
            return
        self.gap, self.unread = self._gap(chosen, figures), 0
        self.gaps = self.gaps + 1 if self.gap else 0
        for name, now in figures.items():
            came = now.since(self._last.get(name, now))
            if name in canaries:
                self.canary += came
            else:
                self.stable += came
            self._last[name] = now

    def _gap(self, chosen: Sequence[Pod], figures: Mapping[str, Counts]) -> str:
        for name, canary in (("canary", True), ("stable version", False)):
            names = [pod.name for pod in chosen if pod.canary == canary]
            if names and not figures.keys() & set(names):
                where = f"namespace {self.namespace}, pod {names[0]}"
                return f"{self.metrics} has no figures of the {name}'s pods ({where})"
        return ""

    def _chosen(self, pods: Sequence[Pod], *, canary: bool) -> list[Pod]:
        """Choose those read before first, so that a pod's part of the window is as long as it can be."""
        running = [pod for pod in pods if pod.canary == canary and not pod.ending]
        return sorted(running, key=lambda pod: (pod.name not in self._last, pod.name))[:SAMPLED]


def compare(
    window: Window,
    look: Callable[[], Sequence[Pod]],
    seconds: float,
    settings: DeploySettings,
    wait: Callable[[float], None],
    measured: Callable[[Window, Verdict], None],
) -> Verdict:
    """Read figures for so many seconds and judge by them; earlier where they are bad again and again.

    What cannot be read at the end is read again, as often as readings may be bad, before it decides anything.

    Args:
        window: what the figures are added to.
        look: the service's pods now.
        seconds: how long.
        settings: how often, and what is bad.
        wait: sleeps for so many seconds, or raises to end it.
        measured: called after each reading.
    """
    bad, end = 0, time.monotonic() + seconds
    window.read(look())
    while True:
        left = end - time.monotonic()
        wait(min(left, settings.analysis_interval) if left > 0 else settings.analysis_interval)
        pods = look()
        window.read(pods)
        verdict = judge(window.canary, window.stable, pods, settings, window.gap)
        measured(window, verdict)
        bad = bad + 1 if verdict.outcome is Outcome.FAILED else 0
        is_over = time.monotonic() >= end and not (window.gap and window.gaps <= settings.failure_limit)
        if max(bad, window.unread) > settings.failure_limit or is_over:
            return verdict


def judge(canary: Counts, stable: Counts, pods: Sequence[Pod], settings: DeploySettings, gap: str = "") -> Verdict:
    """Judge by the figures and the canary's pods so far; with a `gap` in them they can condemn, but not acquit."""
    if reason := _unwell(pods, settings) or _erring(canary, stable, settings) or _slow(canary, stable, settings):
        return Verdict(Outcome.FAILED, reason)
    if gap:
        return Verdict(Outcome.INCONCLUSIVE, f"there is nothing to judge by: {gap}")
    for name, counts in (("canary", canary), ("stable version", stable)):
        if counts.requests < settings.min_requests:
            few = f"the {name} had {counts.requests:.0f} requests, {settings.min_requests} are needed"
            return Verdict(Outcome.INCONCLUSIVE, f"too little traffic to judge: {few} (LM_DEPLOY_MIN_REQUESTS)")
    return Verdict(Outcome.PASSED, "no worse than the stable version")


def wilson_lower_bound(bad: float, total: float) -> float:
    """Return the least share of bad ones that is likely: the lower end of Wilson's interval."""
    if total <= 0:
        return 0.0
    share = min(1.0, max(0.0, bad / total))
    centre = share + Z * Z / (2 * total)
    spread = Z * math.sqrt(share * (1 - share) / total + Z * Z / (4 * total * total))
    return max(0.0, (centre - spread) / (1 + Z * Z / total))


def _unwell(pods: Sequence[Pod], settings: DeploySettings) -> str:
    for pod in pods:
        if pod.canary and not pod.ending:
            if pod.restarts > settings.max_restarts:
                return f"pod {pod.name} restarted {pod.restarts} times"
            if not pod.ready:
                return f"pod {pod.name} is not ready: {pod.problem or pod.waiting}"
    return ""


def _erring(canary: Counts, stable: Counts, settings: DeploySettings) -> str:
    allowed = stable.error_ratio + settings.error_ratio_allowance
    if wilson_lower_bound(canary.errors, canary.requests) <= allowed:
        return ""
    return (
        f"{canary.error_ratio:.1%} of the canary's {canary.requests:.0f} answers were errors,"
        f" {stable.error_ratio:.1%} of the stable version's {stable.requests:.0f}"
    )


def _slow(canary: Counts, stable: Counts, settings: DeploySettings) -> str:
    compared = _latencies(canary, stable, settings)
    worse = [latency for latency in compared if latency.is_worse(CHANCE / len(compared))]
    requests = sum(latency.canary.requests for latency in compared)
    share = wilson_lower_bound(sum(latency.slow for latency in compared), requests)
    if not worse and (requests < settings.min_requests or share <= SLOWEST):
        return ""
    worst = max(worse or compared, key=lambda latency: latency.excess)
    return (
        f"the canary's p99 was {worst.canary.quantile(1 - SLOWEST):.3f} s,"
        f" the stable version's {worst.stable.quantile(1 - SLOWEST):.3f} s ({worst.limit:.3f} s is allowed)"
        + (f" at {worst.route}" if worst.route else "")
    )


def _latencies(canary: Counts, stable: Counts, settings: DeploySettings) -> list[RouteLatency]:
    """Return what is compared: routes that both versions have answered and that the stable was asked often enough."""
    new, pairs, rest = canary.by_route(), {}, (Counts(), Counts())
    for route, usual in stable.by_route().items():
        if usual.outlasts_buckets(SLOWEST):
            continue
        now = new.get(route, Counts())
        if usual.requests < settings.min_requests:
            rest = rest[0] + now, rest[1] + usual
        else:
            pairs[route] = now, usual
    if rest[1].requests >= settings.min_requests:
        pairs[REST] = rest
    return [
        RouteLatency(route, now, usual, _limit(usual, settings))
        for route, (now, usual) in pairs.items()
        if now.requests
    ]


def _limit(stable: Counts, settings: DeploySettings) -> float:
    return stable.quantile(1 - SLOWEST) * settings.latency_factor + settings.latency_allowance


def _chance(bad: float, total: float, due: float) -> float:
    """Return what the chance of so many bad ones is at the most, where a share of `due` is to be expected."""
    share = min(1.0, bad / total)
    if share <= due or due >= 1:
        return 1.0
    rest = (1 - share) * math.log((1 - share) / (1 - due)) if share < 1 else 0.0
    return math.exp(-total * (share * math.log(share / due) + rest))
