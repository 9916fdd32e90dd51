"""The comparison of two versions: what is worse, what is chance, and what is too little to say."""

from collections.abc import Sequence

import pytest

from lmservice.deploy.analysis import SAMPLED, Outcome, Verdict, Window, compare, judge, wilson_lower_bound
from lmservice.deploy.figures import Counts, FiguresError, counted, parsed
from lmservice.deploy.pods import Pod
from lmservice.deploy.settings import DeploySettings
from lmservice.names import REQUEST_DURATION as HISTOGRAM

SETTINGS = DeploySettings()
INF = float("inf")


def pod(name: str, *, canary: bool = False, ready: bool = True, restarts: int = 0) -> Pod:
    return Pod(name, "1", canary, "image:1", "", ready, ending=False, restarts=restarts, problem="", waiting="slow")


def counts(requests: int, errors: int = 0, slow: int = 0) -> Counts:
    """Everything within 10 ms, but so many that took between 1 and 2 s."""
    return Counts(requests, errors, {0.01: requests - slow, 1.0: requests - slow, 2.0: requests, INF: requests})


@pytest.mark.parametrize(
    ("canary", "stable", "outcome"),
    [
        (counts(1000), counts(1000), Outcome.PASSED),
        (counts(200, errors=10), counts(1000), Outcome.FAILED),
        (counts(1000, errors=50), counts(1000, errors=50), Outcome.PASSED),
        (counts(100, errors=1), counts(1000), Outcome.PASSED),
        (counts(20, errors=10), counts(10), Outcome.FAILED),
        (counts(99), counts(1000), Outcome.INCONCLUSIVE),
        (counts(1000), counts(99), Outcome.INCONCLUSIVE),
        (Counts(), Counts(), Outcome.INCONCLUSIVE),
        (counts(1000, slow=50), counts(1000), Outcome.FAILED),
        (counts(1000, slow=50), counts(1000, slow=50), Outcome.PASSED),
        (counts(100, slow=1), counts(1000), Outcome.PASSED),
    ],
)
def test_a_canary_is_judged_by_what_the_stable_version_did_meanwhile(
    canary: Counts, stable: Counts, outcome: Outcome
) -> None:
    assert judge(canary, stable, [pod("c", canary=True), pod("s")], SETTINGS).outcome is outcome


def test_a_canary_that_restarted_or_is_not_ready_has_failed_and_a_stable_pod_is_no_fault_of_its() -> None:
    good = counts(1000)
    for unwell in (pod("c", canary=True, restarts=1), pod("c", canary=True, ready=False)):
        assert judge(good, good, [unwell], SETTINGS).outcome is Outcome.FAILED
    assert judge(good, good, [pod("s", ready=False, restarts=9)], SETTINGS).outcome is Outcome.PASSED


def test_the_least_likely_share_is_wilsons() -> None:
    """By the formula in the NIST/SEMATECH handbook, 7.2.4.1."""
    assert wilson_lower_bound(5, 100) == pytest.approx(0.02154, abs=1e-4)
    assert wilson_lower_bound(0, 100) == pytest.approx(0, abs=1e-9)
    assert wilson_lower_bound(0, 0) == 0


class Readings:
    """Figures as a test tells them, one reading after another."""

    def __init__(self, *readings: dict[str, Counts] | FiguresError) -> None:
        self._readings = list(readings)

    def __str__(self) -> str:
        return "the test"

    def add(self, reading: dict[str, Counts]) -> None:
        """One more."""
        self._readings.append(reading)

    def read(self, _: str, pods: Sequence[str]) -> dict[str, Counts]:
        """The next ones, of the pods that are asked for."""
        reading = self._readings.pop(0)
        if isinstance(reading, FiguresError):
            raise reading
        return {name: found for name, found in reading.items() if name in pods}


def test_a_window_counts_what_came_in_it_alone_and_a_restart_begins_anew() -> None:
    first = {"c": counts(5), "s": counts(900)}
    second = {"c": counts(15, errors=2), "s": counts(1000), "late": counts(700)}
    third = {"c": counts(4), "s": counts(1010), "late": counts(701)}
    window = Window(Readings(first, second, third), "ns")
    pods = [pod("c", canary=True), pod("s"), pod("late")]
    for _ in range(3):
        window.read(pods)
        assert not window.gap
    assert (window.canary.requests, window.canary.errors) == (14, 2)
    assert window.stable.requests == 111


def test_what_cannot_be_read_is_no_success_and_is_caught_up_with_later() -> None:
    pods = [pod("c", canary=True), pod("s")]
    blind = {"s": counts(1000)}
    readings = Readings({"c": counts(0), "s": counts(0)}, blind, FiguresError("Prometheus is away"), FiguresError("!"))
    window = Window(readings, "ns")
    window.read(pods)
    window.read(pods)
    assert window.gap == "the test has no figures of the canary's pods (namespace ns, pod c)"
    verdict = judge(counts(1000), counts(1000), pods, SETTINGS, window.gap)
    assert verdict == Verdict(Outcome.INCONCLUSIVE, f"there is nothing to judge by: {window.gap}")
    window.read(pods)
    assert (window.gap, window.unread) == ("Prometheus is away", 1)
    window.read(pods)
    assert window.unread == 2
    readings.add({"c": counts(200), "s": counts(1200)})
    window.read(pods)
    assert (window.gap, window.unread, window.canary.requests, window.stable.requests) == ("", 0, 200, 1200)


def test_what_is_worse_for_certain_fails_also_where_the_last_reading_is_missing() -> None:
    bad = counts(200, errors=100)
    assert judge(bad, counts(1000), [pod("c", canary=True)], SETTINGS, "no figures").outcome is Outcome.FAILED


def test_a_window_reads_a_bounded_number_of_pods_and_stays_with_them() -> None:
    many = {f"s{number:02}": counts(10) for number in range(SAMPLED + 5)}
    more = {name: counts(20) for name in many}
    window = Window(Readings(many, more), "ns")
    for _ in range(2):
        window.read([pod(name) for name in many])
    assert window.stable.requests == 10 * SAMPLED


def test_quantiles_are_those_of_prometheus() -> None:
    some = Counts(100, 0, {0.1: 50, 0.5: 90, 1.0: 100, INF: 100})
    assert some.quantile(0.7) == pytest.approx(0.3)
    assert some.quantile(0.95) == pytest.approx(0.75)
    assert some.slower(0.3) == pytest.approx(30)
    assert Counts(10, 0, {1.0: 0, INF: 10}).quantile(0.99) == 1.0
    assert Counts(10, 0, {1.0: 9, INF: 9}).quantile(0.99) == pytest.approx(0.99)
    assert Counts().quantile(0.99) == 0


def test_an_exposition_is_counted_over_its_routes_and_statuses() -> None:
    lines = [f"# HELP {HISTOGRAM} x", f"# TYPE {HISTOGRAM} histogram", 'other_total{a="b"} 7']
    for route, status, number in (("/a", 200, 6), ("/b", 503, 2), ("/b", 404, 1)):
        labels = f'http_route="{route}",http_response_status_code="{status}"'
        lines += [f'{HISTOGRAM}_bucket{{{labels},le="{le}"}} {number}' for le in ("0.1", "+Inf")]
        lines += [f"{HISTOGRAM}_count{{{labels}}} {number}", f"{HISTOGRAM}_sum{{{labels}}} 0.1"]
    assert counted(parsed("\n".join(lines))) == Counts(9, 2, {0.1: 9, INF: 9})


class Source:
    """Figures that rise with each reading, some of which cannot be read."""

    def __init__(self, *unreadable: int) -> None:
        self.unreadable, self.readings = set(unreadable), 0

    def read(self, _: str, pods: Sequence[str]) -> dict[str, Counts]:
        self.readings += 1
        if self.readings in self.unreadable:
            raise FiguresError("the scrape took too long")
        return {name: counts(200 * self.readings) for name in pods}


def compared(source: Source, monkeypatch: pytest.MonkeyPatch) -> Verdict:
    """The verdict of a window of ten seconds, read every five."""
    now = [0.0]
    monkeypatch.setattr("lmservice.deploy.analysis.time.monotonic", lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    pods = [pod("c", canary=True), pod("s")]
    window = Window(source, "team")
    return compare(window, lambda: pods, 10, SETTINGS, wait, lambda *_: None)


def test_one_unreadable_scrape_at_the_end_of_the_window_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(3)
    assert compared(source, monkeypatch).outcome is Outcome.PASSED
    assert source.readings == 4


def test_what_stays_unreadable_at_the_end_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(*range(3, 100))
    verdict = compared(source, monkeypatch)
    assert verdict == Verdict(Outcome.INCONCLUSIVE, "there is nothing to judge by: the scrape took too long")
    assert source.readings == 2 + SETTINGS.failure_limit + 1
