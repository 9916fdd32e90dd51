"""The events that tell a service's life: failed to start, ready, draining, stopped.

A worker's have names of their own (`lmservice.worker_ready`), as the service's are its supervisor's to tell.
"""

import logging
import os
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from lmservice.errors import LmserviceError, StartError, one_line
from lmservice.jobs.startup import Startup
from lmservice.lifecycle import StopCause
from lmservice.server.report import StopReport
from lmservice.web.left_tasks import LeftTask

MOST_TASKS = 50
"""So many of the tasks that were left are named."""

_log = logging.getLogger("lmservice.instance")


class LifeLog:
    """Logs the life of one process that serves, alone or as a worker."""

    def __init__(self, *, of_worker: bool, takes_requests: bool) -> None:
        self._of_worker = of_worker
        self._takes_requests = takes_requests

    def start_failed(self, error: StartError) -> None:
        """Log why the start failed, with a traceback unless the cause was written for people."""
        cause = error.__cause__
        trace = {} if cause is None or isinstance(cause, LmserviceError) else {"exception": _trace(cause)}
        self._step("start_failed", {"error": str(error), **trace}, logging.ERROR)

    def ready(self, url: str | None, seconds: float, startup: Startup) -> None:
        """Log where requests may come to, if any are taken, and what the start took."""
        jobs = {name: round(run.seconds, 3) for name, run in startup.runs.items()}
        where = {"url": url} if url is not None else {}
        values = {**where, "seconds": round(seconds, 3), "startup_jobs": jobs}
        self._step("ready", {**values, "critical_path": startup.critical_path()})

    def draining(self, cause: StopCause, in_flight: int) -> None:
        """Log who asked for the stop, and how many requests are under way."""
        failure = {"failure": cause.failure} if cause.failure else {}
        self._step("draining", {"reason": cause.reason, "in_flight": in_flight, **failure})
        if self._takes_requests and not self._of_worker:
            warn_of_missing_hook(cause)

    def left_tasks(self, tasks: Sequence[LeftTask]) -> None:
        """Log which tasks are cut off that handlers had created and left."""
        if tasks:
            names = [f"{task.coroutine} ({task.route})" for task in tasks[:MOST_TASKS]]
            hint = "nobody waits for a task that a handler leaves: answer after it, or give it to a BackgroundTask"
            _log.warning("lmservice.tasks_left", extra={"count": len(tasks), "tasks": names, "hint": hint})

    def stopped(self, report: StopReport) -> None:
        """Log how the stop went."""
        self._step("stopped", report)

    def _step(self, step: str, values: Mapping[str, Any], level: int = logging.INFO) -> None:
        of_worker = "worker_" if self._of_worker else ""
        _log.log(level, f"lmservice.{of_worker}{step}", extra=dict(values))


def broke_down(error: Exception) -> str:
    """Log a fault of lmservice's own that has ended the service; return it as a problem of the report."""
    _log.critical("lmservice.broke_down", exc_info=error, extra={"error": one_line(error)})
    return f"lmservice broke down: {one_line(error)}"


def _trace(cause: BaseException) -> str:
    return "".join(traceback.format_exception(cause)).rstrip()


def warn_of_missing_hook(cause: StopCause) -> None:
    """Log it where Kubernetes has ended a pod without the hook that stops the service before."""
    if cause.reason == "SIGTERM" and "KUBERNETES_SERVICE_HOST" in os.environ:
        _log.warning(
            "lmservice.no_pre_stop",
            extra={
                "hint": "SIGTERM came without /stop before it: the pod's preStop hook is probably missing, or was"
                " refused (lmservice.management_refused), as an httpGet hook is, which comes from the node; so requests"
                " may still be sent here: let the hook run stop_helper.sh or 'lmservice stop'"
            },
        )
