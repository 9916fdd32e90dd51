"""The comparison of two versions: what is worse, what is chance, and what is too little to say."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from lmservice.deploy.analysis import REST, SAMPLED, Outcome, Verdict, Window, compare, judge, wilson_lower_bound
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


def service(**routes: Counts) -> Counts:
    """All of a service with these routes."""
    return replace(sum(routes.values(), Counts()), routes=routes)


def endless(requests: int) -> Counts:
    """Streams that outlast every bucket."""
    return Counts(requests, 0, {0.01: 0, 1.0: 0, 2.0: 0, INF: requests})


def judged(canary: Counts, stable: Counts) -> Verdict:
    return judge(canary, stable, [pod("c", canary=True), pod("s")], SETTINGS)


def test_streams_are_not_judged_by_how_long_they_last_and_do_not_hide_other_routes() -> None:
    stable = service(home=counts(1000), stream=endless(500))
    assert judged(service(home=counts(1000), stream=endless(500)), stable).outcome is Outcome.PASSED
    verdict = judged(service(home=counts(1000, slow=50), stream=endless(500)), stable)
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason.endswith("the stable version's 0.010 s (0.065 s is allowed) at home")
    stuck = judged(service(home=endless(1000), stream=endless(500)), stable)
    assert stuck.outcome is Outcome.FAILED, "a route that outlasts the buckets in the canary alone has got slow"


def test_errors_are_judged_over_all_routes_and_so_are_those_of_streams() -> None:
    stable = service(home=counts(1000), stream=endless(500))
    failing = replace(endless(500), errors=100)
    assert "were errors" in judged(service(home=counts(1000), stream=failing), stable).reason


def test_a_route_that_is_slow_as_ever_is_no_fault_where_the_canary_was_asked_for_it_more() -> None:
    stable = service(home=counts(10_000), report=counts(100, slow=100))
    assert judged(service(home=counts(500), report=counts(500, slow=500)), stable).outcome is Outcome.PASSED


def test_a_rare_route_that_got_slow_is_found_among_many_and_named() -> None:
    stable = service(home=counts(100_000), report=counts(200), other=counts(200))
    verdict = judged(service(home=counts(50_000), report=counts(100, slow=30), other=counts(100)), stable)
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason.endswith("at report")


def test_routes_that_are_rare_each_are_compared_as_one_and_new_ones_with_nothing() -> None:
    stable = service(**{f"r{number}": counts(20) for number in range(10)})
    slow = service(**{f"r{number}": counts(20, slow=4) for number in range(10)})
    assert judged(slow, stable).reason.endswith(f"at {REST}")
    assert judged(service(**stable.routes, new=counts(50, slow=50)), stable).outcome is Outcome.PASSED


@pytest.mark.parametrize("asked", [1, 5, 10, 15])
def test_one_slow_answer_at_a_route_that_the_canary_was_hardly_asked_for_condemns_nobody(asked: int) -> None:
    stable = service(home=counts(2000), stream=endless(500))
    canary = service(home=counts(asked, slow=1), stream=endless(500))
    many = service(**{f"r{number}": counts(2000) for number in range(10)})
    few = service(**{f"r{number}": counts(200) for number in range(9)}, r9=counts(asked, slow=1))
    assert judged(few, many).outcome is Outcome.PASSED
    assert judged(canary, stable).outcome is Outcome.PASSED


@pytest.mark.parametrize(("requests", "share"), [(100, 0.01), (100, 0.02), (1000, 0.01), (1000, 0.015)])
def test_an_equal_version_with_many_routes_is_hardly_ever_condemned(requests: int, share: float) -> None:
    """With the worst distribution: now and then an answer takes very long, and the stable's p99 is just below."""
    chance = random.Random(1)

    def drawn() -> Counts:
        slow = [sum(chance.random() < share for _ in range(requests)) for _ in range(20)]
        return service(**{f"r{number}": counts(requests, slow=late) for number, late in enumerate(slow)})

    condemned = sum(judged(drawn(), drawn()).outcome is Outcome.FAILED for _ in range(20))
    assert condemned <= 1


def test_the_window_tells_routes_apart_and_counts_what_came_in_it_alone() -> None:
    first = {"c": service(a=counts(5)), "s": service(a=counts(900))}
    second = {"c": service(a=counts(15), b=counts(3, slow=1)), "s": service(a=counts(1000), b=counts(7))}
    window = Window(Readings(first, second), "ns")
    for _ in range(2):
        window.read([pod("c", canary=True), pod("s")])
    assert window.canary.routes == {"a": counts(10), "b": counts(3, slow=1)}
    assert window.stable.routes == {"a": counts(100), "b": counts(7)}


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
        return {name: figures for name, figures in reading.items() if name in pods}


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
        labels = f'http_request_method="GET",http_route="{route}",http_response_status_code="{status}"'
        lines += [f'{HISTOGRAM}_bucket{{{labels},le="{le}"}} {number}' for le in ("0.1", "+Inf")]
        lines += [f"{HISTOGRAM}_count{{{labels}}} {number}", f"{HISTOGRAM}_sum{{{labels}}} 0.1"]
    totals = counted(parsed("\n".join(lines)))
    assert totals == Counts(9, 2, {0.1: 9, INF: 9})
    assert totals.routes == {"GET /a": Counts(6, 0, {0.1: 6, INF: 6}), "GET /b": Counts(3, 2, {0.1: 3, INF: 3})}


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
