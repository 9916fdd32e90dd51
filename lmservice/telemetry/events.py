"""The events that lmservice itself logs, and the fields of each: what a log store can be asked for.

docs/reference/log-fields.md is made from here; a test keeps this in step with what the code logs.
"""

from collections.abc import Mapping

from lmservice.telemetry.life_events import LIFE
from lmservice.telemetry.log_fields import ERROR, JOB, Event

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
    **LIFE,
    "lmservice.task_stack": Event(
        "warning", "SIGUSR1: where a task is", {"task_name": "the task's", "coroutine": "what it runs"}
    ),
    "lmservice.thread_stack": Event("warning", "SIGUSR1: where a thread is", {"thread_name": "the thread's"}),
    "lmservice.health_check_down": Event(
        "error",
        "a health check has failed often enough",
        {"check": "its name", "critical": "whether the service is unready now", "error": ERROR},
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
        "debug", "a run of a periodic job has succeeded", {"job": JOB, "seconds": "how long it took"}
    ),
    "lmservice.periodic_job_failed": Event(
        "error", "a run of a periodic job has raised", {"job": JOB, "seconds": "how long it took"}
    ),
    "lmservice.periodic_job_cut_off": Event(
        "error", "the stop cut off a run of a periodic job", {"job": JOB, "error": "by what limit"}
    ),
    "lmservice.consumer_down": Event(
        "error",
        "a consumer broke down, and is begun anew after a growing wait",
        {"consumer": _CONSUMER, "error": ERROR},
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
        {"command": _COMMAND, "seconds": "how long it took", "error": ERROR},
    ),
    "lmservice.command_cut_off": Event(
        "error", "a stop cut off a command", {"command": _COMMAND, "error": "by what limit"}
    ),
    "lmservice.periodic_job_lock_failed": Event(
        "error",
        "nobody knows whose a turn of a periodic job is, so it is not run here",
        {"job": "the service's name and the job's", "turn": "its number", "error": ERROR},
    ),
    "lmservice.retry": Event(
        "warning",
        "`retry` waits before another attempt",
        {"retry": "what is tried", "attempt": "the attempt that failed", "wait": "in seconds", "error": ERROR},
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
        {**_CLIENT, "method": "the call's", "place": "the line of code that made the call", "error": ERROR},
    ),
    "lmservice.client_no_proxy": Event(
        "warning",
        "an entry of NO_PROXY cannot be read, and is left out",
        {"variable": "its name", "entry": "the entry", "error": ERROR},
    ),
    "lmservice.graphite_failed": Event(
        "warning", "a push to Graphite failed; those that follow are only counted", {"url": "whereto", "error": ERROR}
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
    "lmservice.no_spans": Event("warning", "spans cannot be exported", {"error": ERROR, "hint": "what to do about it"}),
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
        {"family": "its name", "error": ERROR},
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
