"""The graph of a service's start-up jobs: what each is, after which others it comes, and how it goes."""

import asyncio
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol, TypedDict

from lmservice.errors import ServiceDefinitionError
from lmservice.jobs.callables import Registered

RESERVED = frozenset({"settings", "lifecycle"})
"""Names in `request.state` that are lmservice's own."""


class JobStatus(StrEnum):
    """How far a job is."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Job(NamedTuple):
    """A start-up job as it was registered.

    Attributes:
        after: the names of the jobs that must be done before it begins.
        timeout: bounds the job, all its attempts together, in seconds; None leaves it to `LM_STARTUP_TIMEOUT`.
        attempts: how often it is tried, with a growing random wait in between; None is until time is up.
    """

    registered: Registered
    after: tuple[str, ...] = ()
    timeout: float | None = None
    attempts: int | None = 1

    @property
    def name(self) -> str:
        """Return the name under which its result is found in `request.state`."""
        return self.registered.name


class Needing(Protocol):
    """What needs start-up jobs: a consumer, a command."""

    @property
    def name(self) -> str:
        """Return its name."""

    @property
    def after(self) -> tuple[str, ...]:
        """Return the names of the jobs."""


class JobReport(TypedDict):
    """What the probes say of a start-up job.

    Attributes:
        status: a `JobStatus`.
        attempts: how often it has been begun.
        seconds: how long it has taken so far.
    """

    status: str
    attempts: int
    seconds: float


class JobRun:
    """How one start-up job goes.

    Attributes:
        began: when it began, in seconds since the start-up jobs did.
        seconds: how long it took, once it is done or has failed.
        failure: what its last attempt failed with; '' where it has not.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.name = job.name
        self.status = JobStatus.PENDING
        self.attempts = 0
        self.began = 0.0
        self.seconds = 0.0
        self.failure = ""
        self.done = asyncio.Event()

    def report(self, running_for: float) -> JobReport:
        """Return what the probes say of it; `running_for` is how long the start has taken so far, in seconds."""
        seconds = running_for - self.began if self.status is JobStatus.RUNNING else self.seconds
        return {"status": self.status.value, "attempts": self.attempts, "seconds": round(seconds, 6)}


def pending(jobs: Sequence[Job]) -> dict[str, JobReport]:
    """Return what the probes say of jobs before they begin."""
    return {job.name: {"status": JobStatus.PENDING.value, "attempts": 0, "seconds": 0.0} for job in jobs}


def check_graph(jobs: Sequence[Job]) -> None:
    """Make sure that the jobs can be put in order.

    Raises:
        ServiceDefinitionError: two jobs of one name, `after` naming nothing, or a cycle, whose members are named.
    """
    names = [job.name for job in jobs]
    for name in names:
        if names.count(name) > 1:
            raise ServiceDefinitionError(f"two start-up jobs are named {name!r}: give one another name=")
        if name in RESERVED:
            raise ServiceDefinitionError(
                f"a start-up job cannot be named {name!r}, which is lmservice's own: rename it"
            )
    for job in jobs:
        for missing in set(job.after) - set(names):
            known = ", ".join(sorted(names))
            raise ServiceDefinitionError(
                f"start-up job {job.name!r} comes after {missing!r}, which is no start-up job: there are {known}"
            )
    if not any(job.after for job in jobs):
        return
    from graphlib import CycleError, TopologicalSorter  # noqa: PLC0415 - costs every start what some need

    try:
        TopologicalSorter({job.name: job.after for job in jobs}).prepare()
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise ServiceDefinitionError(
            f"start-up jobs wait for each other in a circle: {circle}: cut one 'after'"
        ) from None


def refuse_unknown_jobs(kind: str, declared: Iterable[Needing], jobs: Sequence[Job]) -> None:
    """Make sure that the start-up jobs are there which others of a `kind` need.

    Raises:
        ServiceDefinitionError: `after` of one of them names none.
    """
    names = {job.name for job in jobs}
    for needing in declared:
        for missing in sorted(set(needing.after) - names):
            known = ", ".join(sorted(names)) or "none"
            raise ServiceDefinitionError(
                f"{kind} {needing.name!r} comes after {missing!r}, which is no start-up job: there are {known}"
            )
