"""When Graphite is pushed to, what is said where it is down, and what it is told; on a clock of the test's own."""

import asyncio
import logging
import math
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import GaugeMetricFamily

from lmservice.settings.model import Settings
from lmservice.telemetry.graphite import Graphite, samples_for
from lmservice.telemetry.metrics import Metrics


class Stopping(threading.Event):
    """An event that is set at a moment of a clock which only waiting puts forward."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self._at = at
        self.now = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.now = min(self.now + timeout, self._at)
        return self.now >= self._at


class Pushes:
    """Notes when it was pushed; takes `seconds`, and fails while there is something in `errors`."""

    def __init__(self, stopping: Stopping, *, seconds: float = 0, errors: Iterable[Exception | None] = ()) -> None:
        self.at: list[float] = []
        self._stopping = stopping
        self._seconds = seconds
        self._errors = iter(errors)

    def __call__(self) -> None:
        self.at.append(self._stopping.now)
        self._stopping.now += self._seconds
        if error := next(self._errors, None):
            raise error


def graphite(stopping: Stopping, pushes: Pushes, *, spread: float = 0.5, metrics: Metrics | None = None) -> Graphite:
    settings = Settings(graphite_url="graphite://host", graphite_interval=10)
    return Graphite(
        settings,
        metrics or Metrics(),
        push=pushes,
        stopping=stopping,
        clock=lambda: stopping.now,
        spread=lambda: spread,
    )


@pytest.mark.parametrize(("spread", "expected"), [(0, [0, 10, 20, 25]), (0.5, [5, 15, 25]), (0.99, [9.9, 19.9, 25])])
def test_pushes_are_an_interval_apart_the_first_anywhere_in_one_and_the_last_at_the_stop(
    spread: float, expected: list[float]
) -> None:
    stopping = Stopping(at=25)
    pushes = Pushes(stopping)
    graphite(stopping, pushes, spread=spread).run()
    assert pushes.at == pytest.approx(expected)


def test_pushes_that_a_slow_one_has_overrun_are_left_out() -> None:
    stopping = Stopping(at=60)
    pushes = Pushes(stopping, seconds=12)
    graphite(stopping, pushes).run()
    assert pushes.at == [5, 25, 45, 60]


def test_a_stop_before_the_first_push_pushes_once() -> None:
    stopping = Stopping(at=1)
    pushes = Pushes(stopping)
    graphite(stopping, pushes).run()
    assert pushes.at == [1]


def test_each_outage_is_told_once_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    stopping = Stopping(at=80)
    down, broken = OSError("refused"), ValueError("a collector of one's own")
    pushes = Pushes(stopping, errors=[None, down, down, None, broken, None])
    metrics = Metrics()
    with caplog.at_level(logging.INFO, "lmservice.graphite"):
        graphite(stopping, pushes, metrics=metrics).run()
    assert [each.getMessage() for each in caplog.records] == [
        "lmservice.graphite_failed",
        "lmservice.graphite_recovered",
    ] * 2
    told_of: Any = caplog.records[0]
    assert (told_of.url, told_of.error) == ("graphite://host", "OSError: refused")
    count = "lmservice_graphite_pushes_total"
    assert metrics.registry.get_sample_value(count, {"outcome": "failed"}) == 3
    assert metrics.registry.get_sample_value(count, {"outcome": "sent"}) == 6


@pytest.mark.anyio
async def test_a_push_that_hangs_is_left_behind_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    entered, let_go = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        let_go.wait(20)
        raise OSError("it was too late")

    settings = Settings(graphite_url="graphite://host", graphite_interval=10)
    pushing = Graphite(settings, Metrics(), push=hang, spread=lambda: 0)
    pushing.start()
    await asyncio.to_thread(entered.wait, 20)
    await pushing.finish(0)
    let_go.set()
    (thread,) = [each for each in threading.enumerate() if each.name == "graphite"]
    thread.join(20)
    assert [each.getMessage() for each in caplog.records] == ["lmservice.graphite_failed"]


@pytest.mark.anyio
async def test_what_never_started_needs_no_finish() -> None:
    await Graphite(Settings(graphite_url="graphite://host"), Metrics()).finish(0)


class Collecting:
    """A collector of somebody's own, which gives the same family each time."""

    def __init__(self, family: GaugeMetricFamily) -> None:
        self._family = family

    def collect(self) -> Iterator[Any]:
        yield self._family


def test_a_sample_that_cannot_be_told_is_left_out_and_the_others_are_not() -> None:
    registry = CollectorRegistry()
    family = GaugeMetricFamily("custom", "Custom.", labels=["which"])
    values: list[Any] = [1, None, math.nan, "2", object(), -math.inf, 10**400, 3]
    for number, value in enumerate(values):
        family.add_metric([str(number)], value)
    registry.register(Collecting(family))
    for _ in range(2):
        found = {sample.labels["which"]: sample.value for sample in samples_for(registry, tags=True)}
        assert found == {"0": 1, "7": 3}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (True, [{"name_": "a", "kind": "x"}, {"kind": "x"}, {}]),
        (False, [{"name": "a", "kind": "x"}, {"kind": "x"}, {}]),
    ],
)
def test_labels_that_are_empty_are_left_out_and_name_is_renamed_as_a_tag(tags: bool, expected: list[Any]) -> None:  # noqa: FBT001
    registry = CollectorRegistry()
    gauge = Gauge("g", "G.", ["name", "kind"], registry=registry)
    for labels in (("a", "x"), ("", "x"), ("", "")):
        gauge.labels(*labels).set(1)
    assert [sample.labels for sample in samples_for(registry, tags=tags)] == expected


def test_a_label_of_a_collectors_own_need_not_be_text() -> None:
    registry = CollectorRegistry()
    family = GaugeMetricFamily("g", "G.")
    family.add_sample("g", {"port": 80, "name": ""}, 1)  # type: ignore[dict-item]
    registry.register(Collecting(family))
    assert [sample.labels for sample in samples_for(registry, tags=True)] == [{"port": "80"}]


def test_prometheus_client_is_not_loaded_before_the_first_push() -> None:
    program = """
import sys
from lmservice.telemetry.graphite import Graphite
from lmservice.telemetry.metrics import Metrics
from lmservice.settings.model import Settings
Graphite(Settings(graphite_url="graphite://host"), Metrics())
sys.exit("prometheus_client" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
