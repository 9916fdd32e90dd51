"""What a line of the log is made of: the fields of every line, and the form in which an event names its own."""

from collections.abc import Mapping
from typing import NamedTuple


class Event(NamedTuple):
    """One event.

    Attributes:
        level: at which it is logged; the first where there are several.
        meaning: what has happened.
        fields: beyond those of every line: what each says, with its unit.
    """

    level: str
    meaning: str
    fields: Mapping[str, str]


ALWAYS: Mapping[str, str] = {
    "timestamp": "when, RFC 3339 in UTC, to the microsecond",
    "level": "`debug`, `info`, `warning`, `error` or `critical`",
    "logger": "who says it",
    "event": "what has happened: a name of those below, or a message",
    "service": "the service's name",
    "version": "the version that runs",
    "environment": "where: `dev`, `qa`, `preview`, `production`, …",
    "instance": "which one: in Kubernetes the pod's name",
}
"""What every line says."""

IN_A_REQUEST: Mapping[str, str] = {
    "request_id": "the request's, as `X-Request-ID` has it",
    "trace_id": "the trace's, 32 hexadecimal digits, as `traceparent` has it",
    "span_id": "the span's, 16 hexadecimal digits",
}
"""What every line beyond that says that is logged while a request is answered."""

SOMETIMES: Mapping[str, str] = {
    "exception": "the traceback, where there was an exception",
    "stack": "where the code was, where that was asked for",
    "given_…": "what the code gave under the name of a field that the line has itself: `given_version`, `given_level`",
    "worker": "of several workers, the number of the one that says it; the steps of its own life, `lmservice.ready` and"
    " so on, are then `lmservice.worker_ready` and so on",
}
"""What any line may say."""

ERROR = "what went wrong"
"""What the field `error` of an event says."""
JOB = "the job's name"
"""What the field `job` of an event says."""
