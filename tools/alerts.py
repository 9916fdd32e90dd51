"""The alerts of a service, as Prometheus' rules: what wakes somebody up, and what goes into tomorrow's list.

The share of errors is alerted on by how fast it burns the month's budget, over a long and a short window each, as
Google's Site Reliability Workbook describes it: the long one says that it matters, the short one that it still goes on.
"""

from typing import Any, NamedTuple

from lmservice import names
from lmservice.telemetry.metrics import BUCKETS
from tools.queries import BY, OWN_JOB, WINDOWS, Queries, recorded

OBJECTIVE = 0.999
"""The share of requests that are to be answered without a 5xx, over 30 days."""
SLOW = 1.0
"""What 99 in 100 requests are to stay below, in seconds."""
PATIENT_RUNS = 2
"""The intervals for which a run of a periodic job may last, …"""
PATIENCE = 600.0
"""… and the time that it has in any case, in seconds."""
PAGE, TICKET = "page", "ticket"

_BURN = ((PAGE, 14.4, "1h", "5m"), (PAGE, 6.0, "6h", "30m"), (TICKET, 3.0, "1d", "2h"), (TICKET, 1.0, "3d", "6h"))
_POD = "environment, pod"


class Alert(NamedTuple):
    """One alert.

    Attributes:
        lasting: how long it must be so before anybody is told.
        summary: one line, in Prometheus' template language.
        action: what to look at first.
    """

    name: str
    expression: str
    lasting: str
    severity: str
    summary: str
    action: str


def groups(service: str, team: str, documents: str) -> list[dict[str, Any]]:
    """Return the groups of one service's rules, as Prometheus and the PrometheusRule resource have them.

    Args:
        service: its name.
        team: whom they are for.
        documents: where lmservice's documents are served as a site: the runbooks are below it.
    """
    queries = Queries(service)
    records = [{"record": recorded(window), "expr": queries.errors(window)} for window in WINDOWS]
    rules = [_rule(alert, service, team, documents) for alert in alerts(queries)]
    return [{"name": f"{service}.records", "rules": records}, {"name": f"{service}.alerts", "rules": rules}]


def resource(service: str, team: str, documents: str) -> dict[str, Any]:
    """The same as an object of Kubernetes, for the Prometheus operator."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": service},
        "spec": {"groups": groups(service, team, documents)},
    }


def _rule(alert: Alert, service: str, team: str, documents: str) -> dict[str, Any]:
    rule = {"alert": alert.name, "expr": alert.expression, "for": alert.lasting}
    labels = {"severity": alert.severity, "team": team, "service": service}
    annotations = {
        "summary": f"{service} in {{{{ $labels.environment }}}}: {alert.summary}",
        "action": alert.action,
        "runbook_url": f"{documents}/runbooks/{alert.name}.html",
    }
    return {**rule, "labels": labels, "annotations": annotations}


def alerts(queries: Queries) -> list[Alert]:
    """Every alert, those of requests first."""
    return [*_of_requests(queries), *_of_instances(queries), *_of_the_life(queries), *_of_others(queries)]


def _of_requests(queries: Queries) -> list[Alert]:
    budget = 1 - OBJECTIVE
    burning = {
        severity: " or ".join(
            f"({queries.recorded_errors(long)} > {factor * budget:.4g} and {queries.recorded_errors(short)} >"
            f" {factor * budget:.4g})"
            for each, factor, long, short in _BURN
            if each == severity
        )
        for severity in (PAGE, TICKET)
    }
    summary = "{{ $value | humanizePercentage }} of the requests fail"
    of_route = f"{BY}, http_route"
    streams = f"{queries.slowest(0.99, '1d', of_route)} >= {BUCKETS[-1]:g}"  # as ever: their length says nothing
    slow = (
        f"({queries.slowest(0.99, '5m', of_route)} > {SLOW:g} and {queries.requests('5m', of_route)} > 0.1)"
        f" unless {streams}"
    )
    limits = 'reason=~"concurrency|overload|timeout"'
    rejected = queries.rate(names.REQUESTS_REJECTED, "5m", "environment, reason", limits)
    logs = "look at the log's http.error events, and at what was released last"
    return [
        Alert("ErrorBudgetBurnsFast", burning[PAGE], "2m", PAGE, summary, logs),
        Alert("ErrorBudgetBurns", burning[TICKET], "15m", TICKET, summary, logs),
        Alert(
            "RequestsAreSlow", slow, "10m", TICKET,
            "99 in 100 requests of {{ $labels.http_route }} take up to {{ $value | humanizeDuration }}",
            "look at the event loop's lag, the outbound calls and the traces of the slowest",
        ),
        Alert(
            "RequestsAreRejected", f"{rejected} > 0", "5m", TICKET, "requests are refused by {{ $labels.reason }}",
            "see whether the autoscaler is at its end, or what the requests wait for",
        ),
    ]  # fmt: skip


def _of_instances(queries: Queries) -> list[Alert]:
    ready = queries.series(names.READY)
    leaving = queries.series(names.STATE, 'state=~"starting|draining|stopped"')
    here = f"group by ({BY}) ({queries.series('up')})"
    before = f"group by ({BY}) (last_over_time({queries.series('up')}[1d]))"
    return [
        Alert(
            "NoInstanceIsReady", f"sum by ({BY}) ({ready}) == 0", "1m", PAGE, "no instance is ready",
            "/readyz of an instance says which check or start-up job it is",
        ),
        Alert(
            "InstanceIsNotReady", f"{ready} == 0 unless ignoring (state) {leaving} == 1", "5m", TICKET,
            "{{ $labels.pod }} is not ready", "its /readyz says which check it is",
        ),
        Alert(
            "HealthCheckIsDown", f"{queries.series(names.HEALTH_CHECK_STATUS)} == 0", "1m", TICKET,
            "the check {{ $labels.check }} of {{ $labels.pod }} is down", "see what the check asks for is well",
        ),
        Alert(
            "EventLoopStalls", f"max_over_time({queries.series(names.EVENT_LOOP_LAG)}[5m]) > 1", "0m", TICKET,
            "the event loop of {{ $labels.pod }} stood still for {{ $value | humanizeDuration }}",
            "the log's lmservice.event_loop_stalled has the stack of what held it",
        ),
        Alert(
            "MetricsAreGone", f"{before} unless {here}", "5m", PAGE, "nothing is scraped any more",
            "see whether any pod runs, and whether the PodMonitor still selects them",
        ),
        Alert(
            "InstanceIsNotScraped", f"{queries.series('up')} == 0", "5m", TICKET,
            "{{ $labels.pod }} does not answer /metrics", "see whether the process runs, and the NetworkPolicy",
        ),
    ]  # fmt: skip


def _of_the_life(queries: Queries) -> list[Alert]:
    restarts = f"max by (environment) (changes({queries.series('process_start_time_seconds')}[15m])) > 2"
    failed = f"{queries.appeared('lmservice.start_failed', '15m')} > 2"
    starting = queries.series(names.STATE, 'state="starting"')
    return [
        Alert(
            "StartFails", f"({restarts}) or ({failed})", "0m", PAGE, "instances start again and again",
            "the log's lmservice.start_failed names the job; roll the release back",
        ),
        Alert(
            "StartTakesLong", f"{starting} == 1", "5m", TICKET,
            "{{ $labels.pod }} is still starting", "its /startupz says which job it waits for",
        ),
        Alert(
            "DrainCutOffWork", f"{queries.appeared('lmservice.cut_off', '15m')} > 0", "0m", TICKET,
            "a stop cut off what was in flight",
            "the log's lmservice.stopped names the routes; raise LM_DRAIN_TIMEOUT, or let the handlers see the drain",
        ),
    ]  # fmt: skip


def _of_others(queries: Queries) -> list[Alert]:
    exhausted = queries.rate(names.CLIENT_RETRY_BUDGET_EXHAUSTED, "5m", "environment, client, host")
    breaker = queries.series(names.CLIENT_BREAKER_STATE, 'state="open"')
    job = f"{_POD}, {OWN_JOB}"
    running, interval = (
        queries.series(name) for name in (names.PERIODIC_JOB_RUNNING_SECONDS, names.PERIODIC_JOB_INTERVAL)
    )
    return [
        Alert(
            "BreakerIsOpen", f"max by (environment, client, host) ({breaker}) == 1",
            "1m", TICKET, "calls of {{ $labels.client }} to {{ $labels.host }} are not even tried",
            "see what is wrong with that host",
        ),
        Alert(
            "RetryBudgetIsExhausted", f"{exhausted} > 0", "5m", TICKET,
            "calls of {{ $labels.client }} to {{ $labels.host }} fail more often than they may be repeated",
            "see what is wrong with that host",
        ),
        Alert(
            "PeriodicJobFails", _only_failures(queries, names.PERIODIC_JOB_RUNS, job, "failure", "success"),
            "0m", TICKET, "no run of {{ $labels.exported_job }} in {{ $labels.pod }} has succeeded for an hour",
            "the log's lmservice.periodic_job_failed has the exception",
        ),
        Alert(
            "PeriodicJobIsStuck", f"{running} > clamp_min({PATIENT_RUNS} * {interval}, {PATIENCE:g})", "0m", TICKET,
            "a run of {{ $labels.exported_job }} in {{ $labels.pod }} has lasted for {{ $value | humanizeDuration }}",
            "the instance's /tasks says where the run is",
        ),
        Alert(
            "GraphitePushFails", _only_failures(queries, names.GRAPHITE_PUSHES, _POD, "failed", "sent"),
            "5m", TICKET, "{{ $labels.pod }} has pushed nothing to Graphite for an hour",
            "the log's lmservice.graphite_failed says why",
        ),
    ]  # fmt: skip


def _only_failures(queries: Queries, name: str, by: str, failure: str, success: str) -> str:
    def ended(outcome: str) -> str:
        matcher = f'outcome="{outcome}"'
        return f"sum by ({by}) (increase({queries.series(name, matcher)}[1h])) > 0"

    return f"{ended(failure)} unless {ended(success)}"
