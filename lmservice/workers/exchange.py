"""What the supervisor and the workers tell each other over their channel, each member explained once."""

from typing import Any, Required, TypedDict

from lmservice.jobs.startup_graph import JobReport


class Progress(TypedDict):
    """How far a worker's jobs are, as the probes tell it.

    Attributes:
        startup_jobs: each start-up job by its name.
        checks: each health check by its name: `status`, `critical`, and the kind of its `error` where there is one.
        periodic_jobs: each periodic job by its name, as `Schedule.report` has it.
    """

    startup_jobs: dict[str, JobReport]
    checks: dict[str, dict[str, Any]]
    periodic_jobs: dict[str, dict[str, Any]]


class WorkerStatus(TypedDict, total=False):
    """What a worker says of itself several times a second; empty before it has said anything.

    Attributes:
        at: when it said so, in seconds of the system's monotonic clock, which all processes share.
        state: a `State`.
        still_for: how long its event loop has stood still, in seconds; 0 as long as it turns.
        started: whether its start-up jobs are done.
        ready: whether requests should come to it.
        awaits_checks: whether it is unready for checks of which nothing is known yet.
        refused: whether it has parted with the listener.
        last_opened: when a connection last came, in seconds of the same clock.
        in_flight: how many requests are under way.
        progress: how far its jobs are.
    """

    at: float
    state: str
    still_for: float
    started: bool
    ready: bool
    awaits_checks: bool
    refused: bool
    last_opened: float
    in_flight: int
    progress: Progress


class WorkerPicture(TypedDict):
    """What a worker draws for those who watch, as `lmservice.console.picture.Observation.picture` has it.

    Attributes:
        at: when it was drawn, in seconds since the epoch.
        state: a `State`.
        failure: why the start failed, or the service stopped by itself; '' where neither.
        since: since when it has been in that state, in seconds since the epoch.
        ready: whether requests should come.
        unready_for: the critical checks that are down.
        startup: the start-up jobs' timeline, their critical path and their limit.
        checks: each health check with its last polls.
        traffic: requests, in all and by route; with `counts`, from which quantiles of several workers are made.
        event_loop: its `lag`, in seconds, and whether it is `well`.
        errors: the last requests that a handler's exception has ended, the newest first.
        slowest: the slowest requests since somebody watches.
        periodic_jobs: each periodic job.
        clients: each host that outbound clients call.
        drain: what a stop is at, and what holds it up; None where nobody has asked for one.
    """

    at: float
    state: str
    failure: str
    since: float
    ready: bool
    unready_for: list[str]
    startup: dict[str, Any]
    checks: list[dict[str, Any]]
    traffic: dict[str, Any]
    event_loop: dict[str, Any]
    errors: list[dict[str, Any]]
    slowest: list[dict[str, Any]]
    periodic_jobs: list[dict[str, Any]]
    clients: list[dict[str, Any]]
    drain: dict[str, Any] | None


class End(TypedDict, total=False):
    """How a worker's process ended; empty where nobody knows, as the process that forked it had ended before.

    Attributes:
        signal: what killed it, by name; missing where it ended by itself.
        exit_code: what it ended with; missing where a signal killed it.
        cause: `memory`, where the kernel killed it for that.
        memory_limit: the container's, in bytes, where it has one.
    """

    signal: str
    exit_code: int
    cause: str
    memory_limit: int


class Death(End):
    """How a worker died that had not been told to end.

    Attributes:
        at: when, in seconds since the epoch.
    """

    at: Required[float]
