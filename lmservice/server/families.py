"""The families of metrics that tell an instance's own life: what runs, its state, its jobs and checks, its loop."""

import platform
from collections.abc import Sequence
from typing import Protocol

from lmservice import names
from lmservice.jobs.health import CheckMonitor
from lmservice.jobs.startup import Startup
from lmservice.jobs.startup_graph import JobStatus
from lmservice.lifecycle import Lifecycle, State
from lmservice.runtime.heartbeat import Heartbeat
from lmservice.telemetry.logs import Stream
from lmservice.telemetry.metrics import Metrics, Samples
from lmservice.web.listener import Listener


class Measured(Protocol):
    """What the families ask of an instance, at the moment of each scrape."""

    lifecycle: Lifecycle
    metrics: Metrics
    heartbeat: Heartbeat
    stream: Stream

    @property
    def monitors(self) -> Sequence[CheckMonitor]:
        """Return the health checks."""

    @property
    def startup(self) -> Startup | None:
        """Return the start-up jobs; None before they begin."""

    @property
    def listener(self) -> Listener | None:
        """The service's listener; None before it is open."""

    @property
    def ready(self) -> bool:
        """Return whether requests should come."""

    def info(self) -> dict[str, str]:
        """Return name, version and so on of what runs."""


def add_families(instance: Measured) -> None:
    """Add them to the instance's registry, in the place of those of an instance before."""
    add_build_info(instance)
    add_state(instance.metrics, instance)
    metrics, heartbeat = instance.metrics, instance.heartbeat
    metrics.on_scrape(
        names.STARTUP_JOB_DURATION,
        "How long each start-up job took.",
        ("job",),
        lambda: _job_seconds(instance.startup),
        multiprocess_mode="max",
    )
    metrics.on_scrape(
        names.HEALTH_CHECK_STATUS,
        "1 for a check that is up, 0 for one that is down.",
        ("check",),
        lambda: _check_statuses(instance.monitors),
        multiprocess_mode="min",
    )
    metrics.on_scrape(
        names.CONNECTIONS_REFUSED,
        "Connections refused before anything was read of them, by what was short.",
        ("reason",),
        lambda: _refused_connections(instance.listener),
        kind="counter",
    )
    metrics.on_scrape(
        names.EVENT_LOOP_LAG,
        "How late the event loop was at its last mark, or is by now.",
        (),
        lambda: [((), max(heartbeat.lag, heartbeat.still_for()))],
        multiprocess_mode="max",
    )


def add_build_info(instance: Measured) -> None:
    """Add the family whose labels say what runs."""
    labels = {**instance.info(), "python": platform.python_version()}
    labels["service"] = labels.pop("name")
    del labels["instance"]  # Prometheus has its own
    instance.metrics.on_scrape(
        names.BUILD_INFO,
        "What runs, in the labels.",
        list(labels),
        lambda: [(list(labels.values()), 1.0)],
        multiprocess_mode="max",
    )


class Stateful(Protocol):
    """What has a state, and logs: one process, or the supervisor of several."""

    lifecycle: Lifecycle
    stream: Stream

    @property
    def ready(self) -> bool:
        """Return whether requests should come."""


def add_state(metrics: Metrics, service: Stateful) -> None:
    """Add the families of the state, of readiness and of lines that found no reader."""
    metrics.on_scrape(
        names.LOG_LINES_DROPPED,
        "Log lines dropped as nobody read standard output.",
        (),
        lambda: [((), float(service.stream.output.dropped))],
        kind="counter",
    )
    metrics.on_scrape(
        names.STATE, "1 for the state that the service is in.", ("state",), lambda: _states(service.lifecycle)
    )
    metrics.on_scrape(
        names.READY,
        "1 while requests should come, as /readyz says it, else 0.",
        (),
        lambda: [((), float(service.ready))],
    )


def _states(lifecycle: Lifecycle) -> Samples:
    now = lifecycle.state
    return [((state.value,), float(state is now)) for state in State]


def _refused_connections(listener: Listener | None) -> Samples:
    refused = listener.refused_connections if listener is not None else {"descriptors": 0}
    return [((reason,), float(count)) for reason, count in refused.items()]


def _job_seconds(startup: Startup | None) -> Samples:
    runs = startup.runs.values() if startup is not None else ()
    return [((run.name,), run.seconds) for run in runs if run.status is JobStatus.DONE]


def _check_statuses(monitors: Sequence[CheckMonitor]) -> Samples:
    known = [monitor for monitor in monitors if monitor.status != "unknown"]
    return [((monitor.check.name,), float(monitor.status == "up")) for monitor in known]
