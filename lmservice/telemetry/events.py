"""The events that lmservice itself logs, and the fields of each: what a log store can be asked for.

docs/reference/log-fields.md is made from here; a test keeps this in step with what the code logs.
"""

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

_JOB = "the job's name"
_ERROR = "what went wrong"
_COMMAND = "the command's name"
_CONSUMER = "the consumer's name"
_CLIENT = {"client": "the client's name", "host": "whom it calls"}

EVENTS: Mapping[str, Event] = {
    "http.request": Event(
        "info",
        "a request has been answered",
        {
            "method": "the request's",
            "route": "the route's template; `none` where no route matched",
            "path": "as it was asked for, without the query",
            "client": "whose request it is: the peer's address, or the one that a proxy in `LM_FORWARDED_ALLOW` names;"
            " absent with `LM_LOG_CLIENT=false`",
            "status": "of the response",
            "duration": "from the head's arrival to the end of the response, in seconds",
        },
    ),
    "http.error": Event(
        "error",
        "a handler raised, and the answer was 500",
        {
            "method": "the request's",
            "path": "as it was asked for",
            "error": "what was raised, in one line",
            "at": "file and line of the service's own code where that was",
        },
    ),
    "http.client_left": Event("debug", "an app failed as its client had left, which counts as 499", {}),
    "lmservice.overloaded": Event(
        "warning",
        "requests are refused as more have come than can be served in time; every ten seconds while that is so",
        {
            "refused": "how many since the last such line",
            "limit": "how many requests are handled at once before more are refused",
            "waiting": "how many wait to begin",
            "in_flight": "how many have begun",
            "seconds": "what each takes of the event loop's time",
            "limited_by": "what is short: `the event loop`, and the routes whose answers come late",
        },
    ),
    "lmservice.listening": Event(
        "info",
        "the ports are bound; start-up jobs begin",
        {"url": "the service listener's, where requests are taken", "management_url": "the management listener's"},
    ),
    "lmservice.proxies_by_uvicorn": Event(
        "info",
        "`FORWARDED_ALLOW_IPS` says which proxies are believed, as `LM_FORWARDED_ALLOW` is not set",
        {"networks": "whose forwarding headers are believed", "hint": "what to set instead"},
    ),
    "lmservice.proxies_unknown": Event(
        "warning",
        "`FORWARDED_ALLOW_IPS` has entries that are no address",
        {"entries": "what they are", "hint": "what becomes of them"},
    ),
    "lmservice.proxies_everywhere": Event(
        "warning",
        "the forwarding headers of everybody are believed",
        {"networks": "whose", "hint": "what that means"},
    ),
    "lmservice.forwarded_in_vain": Event(
        "warning",
        "in `dev`, once: a request brought a forwarding header that is not believed",
        {"peer": "who sent it", "headers": "those in vain", "hint": "what decides it"},
    ),
    "lmservice.ready": Event(
        "info",
        "the service is up, and its requests are accepted",
        {
            "url": "the service listener's, where requests are taken",
            "seconds": "how long the start took",
            "startup_jobs": "each job's time by its name, in seconds",
            "critical_path": "the chain of jobs that the start waited for",
            "workers": "of several workers, the process id of each by its number",
        },
    ),
    "lmservice.start_failed": Event(
        "error", "the service could not get ready; the exit code is 3", {"error": "which job, and why"}
    ),
    "lmservice.lifespan_died": Event(
        "error",
        "the app's lifespan ended while it was needed: the service stops, and the exit code is 70",
        {"error": _ERROR},
    ),
    "lmservice.lifespan_not_run": Event(
        "warning",
        "mounted apps have a lifespan, which nobody runs",
        {"mounts": "their paths", "hint": "what to do about it"},
    ),
    "lmservice.startup_job_begun": Event(
        "debug", "a start-up job begins; `info` where the log is for people", {"job": _JOB}
    ),
    "lmservice.startup_job_done": Event(
        "debug",
        "a start-up job is done; `info` where the log is for people",
        {"job": _JOB, "seconds": "how long it took"},
    ),
    "lmservice.startup_job_retry": Event(
        "warning",
        "a start-up job failed and is tried again",
        {
            "job": _JOB,
            "attempt": "the attempt that failed, from 1",
            "attempts": "how many there are; null where there is no limit but time",
            "wait": "until the next, in seconds",
            "error": _ERROR,
        },
    ),
    "lmservice.startup_job_died": Event(
        "error",
        "a start-up job ended while it was needed; the service stops, and the exit code is 70",
        {"job": _JOB, "error": _ERROR},
    ),
    "lmservice.worker_not_started": Event(
        "error",
        "a worker could not be started yet; it is tried again, later each time",
        {"worker": "its number", "error": _ERROR, "pause": "seconds until then"},
    ),
    "lmservice.workers_not_forked": Event(
        "warning",
        "the program cannot be forked, as it did this at its import: each worker imports it itself",
        {"because": "the threads, sockets, processes and files that a fork would break", "hint": "what to do"},
    ),
    "lmservice.forker_ended": Event(
        "error", "the process that forks workers has ended; those that run go on", {"hint": "what to do"}
    ),
    "lmservice.broke_down": Event(
        "critical", "a fault of lmservice's own has ended the service; the exit code is 70", {"error": _ERROR}
    ),
    "lmservice.draining": Event(
        "info",
        "the stop has begun; `/readyz` says 503",
        {
            "reason": "who asked for it: `/stop`, `SIGTERM`, `SIGINT`, `SIGHUP`, `failure`",
            "in_flight": "requests under way",
            "failure": "what failed, where it was the service itself",
        },
    ),
    "lmservice.no_pre_stop": Event(
        "warning", "SIGTERM came in Kubernetes without `/stop` before it", {"hint": "what to do about it"}
    ),
    "lmservice.cut_off": Event(
        "error",
        "the drain's time ran out, and work was cancelled; the exit code is 70",
        {
            "limit": "the drain's, in seconds",
            "tasks": "how many were cancelled",
            "left": "how many did not end even so",
        },
    ),
    "lmservice.tasks_left": Event(
        "warning",
        "tasks were cut off that handlers had created and left; the exit code stays",
        {
            "count": "how many",
            "tasks": "the coroutine of each, with the route whose handler created it; the first fifty",
            "hint": "what to do instead",
        },
    ),
    "lmservice.stopped": Event(
        "info",
        "the end, and how it went",
        {
            "status": "`stopped` or `failed`",
            "seconds": "how long the stop took",
            "phases": "`drain_delay`, `drain` and `cleanup`, in seconds",
            "requests": "`served` and `cancelled` since the stop began",
            "messages": "of a service with consumers: `handled`, `given_back` and `cut_off` since the stop began",
            "served_by_route": "the same by route",
            "cancelled_by_route": "the same by route",
            "tasks": "how many tasks were cut off that handlers had created and left",
            "exit_code": "the process's",
            "problems": "what was cut off or failed, a line each",
        },
    ),
    "lmservice.worker_died": Event(
        "error",
        "a worker has ended without having been told to",
        {
            "worker": "its number",
            "pid": "its process id",
            "signal": "what ended it, or",
            "exit_code": "how it ended",
            "cause": "`memory`, where the kernel killed it for that",
            "memory_limit": "the container's, in bytes, where it was memory",
            "lived": "for how long, in seconds",
            "pause": "until the next one is started, in seconds",
        },
    ),
    "lmservice.worker_crash_loop": Event(
        "error",
        "workers die one after another, soon after their start",
        {
            "worker": "their number",
            "in_a_row": "how many have",
            "pause": "until the next one is started, in seconds",
            "hint": "where to look",
        },
    ),
    "lmservice.worker_replaced": Event(
        "info", "another worker has been started for one that died", {"worker": "its number", "pid": "its process id"}
    ),
    "lmservice.task_stack": Event(
        "warning", "SIGUSR1: where a task is", {"task_name": "the task's", "coroutine": "what it runs"}
    ),
    "lmservice.thread_stack": Event("warning", "SIGUSR1: where a thread is", {"thread_name": "the thread's"}),
    "lmservice.health_check_down": Event(
        "error",
        "a health check has failed often enough",
        {"check": "its name", "critical": "whether the service is unready now", "error": _ERROR},
    ),
    "lmservice.health_check_up": Event(
        "info",
        "a health check that was down is well again",
        {"check": "its name", "critical": "whether it decides on readiness", "error": "empty"},
    ),
    "lmservice.event_loop_stalled": Event(
        "error", "the event loop stands still", {"seconds": "for how long by now", "stack": "what holds it"}
    ),
    "lmservice.event_loop_recovered": Event(
        "warning", "the event loop turns again", {"late": "how late it was, in seconds"}
    ),
    "lmservice.periodic_job_done": Event(
        "debug", "a run of a periodic job has succeeded", {"job": _JOB, "seconds": "how long it took"}
    ),
    "lmservice.periodic_job_failed": Event(
        "error", "a run of a periodic job has raised", {"job": _JOB, "seconds": "how long it took"}
    ),
    "lmservice.periodic_job_cut_off": Event(
        "error", "the stop cut off a run of a periodic job", {"job": _JOB, "error": "by what limit"}
    ),
    "lmservice.consumer_down": Event(
        "error",
        "a consumer broke down, and is begun anew after a growing wait",
        {"consumer": _CONSUMER, "error": _ERROR},
    ),
    "lmservice.consumer_up": Event("info", "a consumer that was down has reached its broker", {"consumer": _CONSUMER}),
    "lmservice.message_failed": Event(
        "error", "the work on a message raised, in a consumer loop", {"consumer": _CONSUMER}
    ),
    "lmservice.consumer_cut_off": Event(
        "error",
        "the stop cut off a consumer, or messages that it had in hand",
        {"consumer": _CONSUMER, "error": "what"},
    ),
    "lmservice.command_done": Event(
        "info", "a command of `lmservice job` has ended well", {"command": _COMMAND, "seconds": "how long it took"}
    ),
    "lmservice.command_failed": Event(
        "error",
        "a command raised; the exit code is 1",
        {"command": _COMMAND, "seconds": "how long it took", "error": _ERROR},
    ),
    "lmservice.command_cut_off": Event(
        "error", "a stop cut off a command", {"command": _COMMAND, "error": "by what limit"}
    ),
    "lmservice.periodic_job_lock_failed": Event(
        "error",
        "nobody knows whose a turn of a periodic job is, so it is not run here",
        {"job": "the service's name and the job's", "turn": "its number", "error": _ERROR},
    ),
    "lmservice.retry": Event(
        "warning",
        "`retry` waits before another attempt",
        {"retry": "what is tried", "attempt": "the attempt that failed", "wait": "in seconds", "error": _ERROR},
    ),
    "lmservice.client_retry": Event(
        "info",
        "an outbound call is repeated",
        {
            **_CLIENT,
            "method": "the call's",
            "attempt": "the attempt that failed",
            "reason": "a status or an error's kind",
            "wait": "in seconds",
        },
    ),
    "lmservice.client_breaker": Event(
        "warning", "a host's circuit breaker has changed", {**_CLIENT, "state": "`open`, `half_open` or `closed`"}
    ),
    "lmservice.client_stream_leaked": Event(
        "warning",
        "the answer to an outbound call was not closed; its connection is taken back",
        {**_CLIENT, "method": "the call's", "place": "the line of code that made the call", "error": _ERROR},
    ),
    "lmservice.client_no_proxy": Event(
        "warning",
        "an entry of NO_PROXY cannot be read, and is left out",
        {"variable": "its name", "entry": "the entry", "error": _ERROR},
    ),
    "lmservice.graphite_failed": Event(
        "warning", "a push to Graphite failed; those that follow are only counted", {"url": "whereto", "error": _ERROR}
    ),
    "lmservice.graphite_recovered": Event(
        "warning", "pushes to Graphite arrive again", {"url": "whereto", "failed": "how many have failed so far"}
    ),
    "lmservice.graphite_names_collide": Event(
        "warning",
        "values of a label differ in what Graphite's names cannot have; told once of each name",
        {
            "label": "the label",
            "values": "as they are",
            "written": "what they would all be",
            "hint": "what becomes of them",
        },
    ),
    "lmservice.graphite_line_too_long": Event(
        "warning",
        "a sample is left out of the pushes to Graphite, as carbon takes no line so long; told once of each family",
        {
            "family": "its name",
            "label": "the longest of its labels",
            "length": "of that label's value, in characters",
            "limit": "of a line, in bytes",
        },
    ),
    "lmservice.no_spans": Event(
        "warning", "spans cannot be exported", {"error": _ERROR, "hint": "what to do about it"}
    ),
    "lmservice.spans_failed": Event(
        "warning",
        "spans could not be exported; told once, until they can be again",
        {"error": "what OpenTelemetry's exporter says"},
    ),
    "lmservice.spans_recovered": Event("warning", "spans are exported again", {}),
    "lmservice.spans_lost": Event("warning", "the last spans were not taken in time", {"hint": "how long was waited"}),
    "lmservice.no_descriptors": Event(
        "error",
        "connections are refused, or left to wait, as the process is out of file descriptors; at most once a minute",
        {"limit": "`RLIMIT_NOFILE`", "reserve": "how many of them no client gets", "why": "what happened"},
    ),
    "lmservice.no_websockets": Event(
        "warning", "a WebSocket was asked for, and no library for them is installed", {"hint": "what to install"}
    ),
    "lmservice.own_http": Event(
        "info", "`LM_HTTP` names a parser that lmservice no longer has", {"hint": "what is used in its place"}
    ),
    "lmservice.unknown_setting": Event(
        "warning",
        "an `LM_` variable is set that no setting reads",
        {"variable": "its name", "hint": "the nearest right name"},
    ),
    "lmservice.default_secret": Event(
        "warning",
        "in `production` a secret is at the default that the code gives it, which the next version refuses",
        {"variable": "its name", "hint": "what to do"},
    ),
    "lmservice.log_level_changed": Event(
        "warning", "somebody changed a logger's level", {"changed": "the logger, the level and for how long"}
    ),
    "lmservice.logging_replaced": Event(
        "info",
        "the root logger had handlers before the start, which are out of use while the service runs",
        {"handlers": "their classes", "hint": "what to configure instead"},
    ),
    "lmservice.logging_kept": Event(
        "warning",
        "something configured Python's logging anew; the stream of the log stays, and this is told once",
        {"by": "what did", "place": "the line of code", "hint": "what to do about it"},
    ),
    "lmservice.collector_failed": Event(
        "error",
        "a family of metrics could not be read; the others are told, and further failures of this one only counted",
        {"family": "its name", "error": _ERROR},
    ),
    "lmservice.metric_twice": Event(
        "warning",
        "a family is in the service's registry and in prometheus_client's default one",
        {"family": "its name", "hint": "what to do about it"},
    ),
    "lmservice.management_refused": Event(
        "warning",
        "a call of the management listener was refused",
        {"method": "the call's", "path": "what was called", "peer": "by whom", "reason": "why"},
    ),
}
"""By name."""
