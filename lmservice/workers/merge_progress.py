"""What the probes say, of several workers as of one: of each job and check, how it is with the worker worst off.

A check that a worker has not run yet, as it is being replaced, is as the others know it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lmservice.jobs.startup_graph import Job, pending
from lmservice.workers.exchange import Progress
from lmservice.workers.worker import Worker

_JOBS = ("done", "pending", "running", "failed")
CHECKS = ("unknown", "up", "down")
"""What a check may be: what is known after what is not, the worst last."""
_PERIODIC = ("stopped", "waiting", "running")

Report = Mapping[str, Any]
"""What is told of each job, or of each check, by its name."""


def progress_of(workers: Sequence[Worker], jobs: Sequence[Job]) -> dict[str, Any]:
    """Return the jobs and checks, of the worker worst off, and the workers themselves."""
    reports = [worker.status["progress"] for worker in workers if worker.status]
    unknown: Progress = {"startup_jobs": pending(jobs), "checks": {}, "periodic_jobs": {}}
    report = merged(reports) if reports else unknown
    lines = [{"worker": worker.number, "pid": worker.pid, "state": worker.state.value} for worker in workers]
    return {**report, "workers": lines}


def merged(reports: Sequence[Progress]) -> Progress:
    """Return one report of at least one worker's."""
    return {
        "startup_jobs": worst([report["startup_jobs"] for report in reports], _JOBS),
        "checks": worst([report["checks"] for report in reports], CHECKS),
        "periodic_jobs": summed([report["periodic_jobs"] for report in reports]),
    }


def worst(reports: Sequence[Report], order: Sequence[str]) -> dict[str, Any]:
    """Return each by its name, of whoever is worst off by `order`, the worst last; not all need have the same names.

    A worker that imports the program itself may find other code on the disk than those before it.
    """

    def rank(report: dict[str, Any]) -> tuple[int, float]:
        return order.index(report["status"]), report.get("seconds", 0.0)

    return {name: max((report[name] for report in reports if name in report), key=rank) for name in names(reports)}


def names(reports: Sequence[Report]) -> list[str]:
    """Return every name in any of them, in their order."""
    return list({name: None for report in reports for name in report})


def summed(reports: Sequence[Report]) -> dict[str, Any]:
    """Return how each periodic job goes: what it was last, by the worker that was last; how often, by all of them."""
    summed = {}
    for name in names(reports):
        copies = [report[name] for report in reports if name in report]
        counts = {count: sum(copy[count] for copy in copies) for count in ("runs", "failures", "skipped")}
        status = max((copy["status"] for copy in copies), key=_PERIODIC.index)
        summed[name] = {**max(copies, key=lambda copy: copy["last_success"] or ""), **counts, "status": status}
    return summed
