"""What is told of a service: who it is, and how its stop went."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

from lmservice.errors import ExitCode
from lmservice.lifecycle import Phase
from lmservice.messaging.consumers import MessageCounts
from lmservice.settings.model import Settings
from lmservice.telemetry.logs import Stream, printable
from lmservice.version import __version__


class RequestCounts(TypedDict):
    """How many requests ended during a stop.

    Attributes:
        served: those that were completed.
        cancelled: those that were cut off.
    """

    served: int
    cancelled: int


class StopReport(TypedDict):
    """How a stop went, as `/stop` and the event `lmservice.stopped` tell it.

    Attributes:
        status: `stopped`, or `failed` where the start had failed.
        seconds: how long it took.
        phases: how long `drain_delay`, `drain` and `cleanup` took, in seconds.
        requests: how many ended meanwhile.
        messages: how many of the consumers' ended meanwhile; missing where there are no consumers.
        tasks: how many tasks were cut off that handlers had created and left.
        exit_code: the process's.
        problems: what was not clean, a line each; missing where everything was.
        served_by_route: completed requests by their route; of a worker alone, for its supervisor.
        cancelled_by_route: those cut off by their route; likewise.
    """

    status: str
    seconds: float
    phases: dict[str, float]
    requests: RequestCounts
    messages: NotRequired[MessageCounts]
    tasks: int
    exit_code: int
    problems: NotRequired[list[str]]
    served_by_route: NotRequired[dict[str, int]]
    cancelled_by_route: NotRequired[dict[str, int]]


def stop_report(
    *,
    failed: bool,
    seconds: float,
    phases: Mapping[Phase, float],
    served: Counter[str],
    cancelled: Counter[str],
    tasks: int,
    exit_code: ExitCode,
    problems: Sequence[str],
    messages: MessageCounts | None = None,
) -> StopReport:
    """Return a stop's report, with its times rounded to milliseconds."""
    report: StopReport = {
        "status": "failed" if failed else "stopped",
        "seconds": round(seconds, 3),
        "phases": {name: round(seconds, 3) for name, seconds in phases.items()},
        "requests": {"served": served.total(), "cancelled": cancelled.total()},
        "tasks": tasks,
        "exit_code": int(exit_code),
    }
    if messages is not None:
        report["messages"] = messages
    if problems:
        report["problems"] = list(problems)
    return report


def by_route(report: StopReport, served: Counter[str], cancelled: Counter[str]) -> StopReport:
    """Return the report with the requests by route as well, as the log has it, and a worker's supervisor."""
    return {**report, "served_by_route": dict(served), "cancelled_by_route": dict(cancelled)}


def identity(settings: Settings, stream: Stream) -> dict[str, str]:
    """Return name, version and so on of what runs, as every log line of it says."""
    fields = {name: value for name, value in stream.fields.items() if name != "worker"}
    return {
        "name": fields.pop("service"),
        **fields,
        "revision": printable(settings.revision),
        "lmservice": __version__,
    }
