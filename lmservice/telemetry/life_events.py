"""The events of a service's life: its start, its stop, and its workers."""

from collections.abc import Mapping

from lmservice.telemetry.log_fields import ERROR, JOB, Event

LIFE: Mapping[str, Event] = {
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
        {"error": ERROR},
    ),
    "lmservice.lifespan_not_run": Event(
        "warning",
        "mounted apps have a lifespan, which nobody runs",
        {"mounts": "their paths", "hint": "what to do about it"},
    ),
    "lmservice.startup_job_begun": Event(
        "debug", "a start-up job begins; `info` where the log is for people", {"job": JOB}
    ),
    "lmservice.startup_job_done": Event(
        "debug",
        "a start-up job is done; `info` where the log is for people",
        {"job": JOB, "seconds": "how long it took"},
    ),
    "lmservice.startup_job_retry": Event(
        "warning",
        "a start-up job failed and is tried again",
        {
            "job": JOB,
            "attempt": "the attempt that failed, from 1",
            "attempts": "how many there are; null where there is no limit but time",
            "wait": "until the next, in seconds",
            "error": ERROR,
        },
    ),
    "lmservice.startup_job_died": Event(
        "error",
        "a start-up job ended while it was needed; the service stops, and the exit code is 70",
        {"job": JOB, "error": ERROR},
    ),
    "lmservice.worker_not_started": Event(
        "error",
        "a worker could not be started yet; it is tried again, later each time",
        {"worker": "its number", "error": ERROR, "pause": "seconds until then"},
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
        "critical", "a fault of lmservice's own has ended the service; the exit code is 70", {"error": ERROR}
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
}
"""By name."""
