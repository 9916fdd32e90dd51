"""The push to Graphite: every so often, and once more after the drain, from a thread of its own.

`lmservice.telemetry.graphite_lines` writes the lines; when, and what becomes of the service where Graphite is down, is
here.
A Graphite that is down, slow or silent costs a warning.
"""

import asyncio
import logging
import math
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from lmservice import names
from lmservice.runtime import gil
from lmservice.runtime.threads import run_in_thread
from lmservice.settings.fields import graphite_address
from lmservice.settings.model import Settings
from lmservice.telemetry.graphite_lines import GraphiteLines
from lmservice.telemetry.metrics import Metrics
from lmservice.telemetry.samples import families

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.samples import Sample

TIMEOUT = 5.0
"""The time that connecting has, and then sending, in seconds."""
BATCH = 10_000
"""The number of lines sent at once: joining a hundred thousand keeps the interpreter's lock for 10 ms."""

_log = logging.getLogger("lmservice.graphite")


class Graphite:
    """The pushes of one service.

    Args:
        fields: `service`, `environment` and `instance`, which go along.
        push: sends everything once.
        stopping: set by `finish`; what the thread waits on between two pushes.
        clock: seconds, for the thread's own schedule.
        spread: gives a number from 0 to 1: how far into the first interval the first push is.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        *,
        fields: Mapping[str, str] | None = None,
        push: Callable[[], None] | None = None,
        stopping: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._url, self._interval = settings.graphite_url, settings.graphite_interval
        self._push = push or _Push(settings, metrics, fields or {})
        self._stopping = stopping or threading.Event()
        self._clock, self._spread = clock, spread
        self._task: asyncio.Task[None] | None = None
        self._failing = False
        self._pushes = {"sent": 0, "failed": 0}
        metrics.on_scrape(
            names.GRAPHITE_PUSHES,
            "Pushes to Graphite, by how they ended.",
            ("outcome",),
            lambda: [((outcome,), float(count)) for outcome, count in self._pushes.items()],
            kind="counter",
        )

    def start(self) -> None:
        """Start pushing, from a thread of its own."""
        self._task = asyncio.create_task(run_in_thread(self.run, name="graphite"), name="graphite")

    async def finish(self, seconds: float) -> None:
        """Push once more, and leave a Graphite that takes longer than `seconds`."""
        self._stopping.set()
        if self._task is None:
            return
        await asyncio.wait([self._task], timeout=seconds)
        if not self._task.done():
            self._task.cancel()
            self._failed(f"the last push took longer than {seconds:g} s")

    def run(self) -> None:
        """Push until told to stop, then once more; pushes that are overdue are left out."""
        due = self._clock() + self._interval * self._spread()
        while not self._stopping.wait(max(0.0, due - self._clock())):
            self._push_once()
            behind = max(0.0, self._clock() - due)
            due += self._interval * (1 + behind // self._interval)
        self._push_once()

    def _push_once(self) -> None:
        try:
            self._push()
        except Exception as error:  # noqa: BLE001 - a collector of the service's own may raise anything
            self._failed(f"{type(error).__name__}: {error}")
            return
        self._pushes["sent"] += 1
        if self._failing:
            self._failing = False
            _log.warning("lmservice.graphite_recovered", extra={"url": self._url, "failed": self._pushes["failed"]})

    def _failed(self, error: str) -> None:
        self._pushes["failed"] += 1
        if not self._failing:
            self._failing = True
            _log.warning("lmservice.graphite_failed", extra={"url": self._url, "error": error})


class _Push:
    """One push of everything, over one connection."""

    def __init__(self, settings: Settings, metrics: Metrics, fields: Mapping[str, str]) -> None:
        self._address = graphite_address(settings.graphite_url)
        self._tags = settings.graphite_tags
        self._lines = GraphiteLines(settings.graphite_prefix, tags=self._tags, fields=fields)
        self._metrics = metrics

    def __call__(self) -> None:
        now = int(time.time())
        samples = samples_for(self._metrics.registry, tags=self._tags)
        with socket.create_connection(self._address, TIMEOUT) as connection:
            while lines := self._some_lines(samples, now):
                connection.sendall("".join(lines).encode("ascii"))

    def _some_lines(self, samples: "Iterator[Sample]", now: int) -> list[str]:
        """Return the next lines, made one by one; Graphite is waited for after the last."""
        with gil.frequent_switches():
            return [self._lines.line(sample, now) for sample in gil.yielding(islice(samples, BATCH))]


def samples_for(registry: "CollectorRegistry", *, tags: bool) -> "Iterator[Sample]":
    """Return the samples of a registry that Graphite can be told: finite numbers, and no label that is empty.

    Args:
        registry: what to tell of.
        tags: whether labels become tags, of which `name` is Graphite's own.
    """
    from prometheus_client.samples import Sample  # noqa: PLC0415 - costs every start what few need

    for family in families(registry):
        for sample in family.samples:
            if _finite(sample.value):
                yield Sample(sample.name, _labels(sample.labels, tags=tags), sample.value)
        for values, samples in family.series:
            shared = _labels(dict(zip(family.labels, values, strict=True)), tags=tags)
            for sample in samples:
                if _finite(sample.value):
                    own = sample.labels and _labels(sample.labels, tags=tags)
                    yield Sample(f"{family.metric.name}{sample.name}", {**shared, **own}, sample.value)


def _finite(value: object) -> bool:
    try:
        return math.isfinite(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False


def _labels(labels: dict[str, str], *, tags: bool) -> dict[str, str]:
    """Return the labels that have a value, as text; among tags `name` is Graphite's own, and renamed."""
    return {"name_" if tags and name == "name" else name: str(value) for name, value in labels.items() if value != ""}
