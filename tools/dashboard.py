"""The dashboard of a service, built with Grafana's own SDK."""

from collections.abc import Iterator
from typing import NamedTuple

from grafana_foundation_sdk.builders import dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

from lmservice import names
from tools.queries import OWN_JOB, Queries

WINDOW = "$__rate_interval"
_SOURCE = DataSourceRef(type_val="prometheus", uid="$datasource")


class Graph(NamedTuple):
    """One panel.

    Attributes:
        unit: Grafana's name of it.
        lines: queries, each with what a line is called.
    """

    title: str
    unit: str
    lines: dict[str, str]


def render(service: str, uid: str = "") -> str:
    """The dashboard as Grafana imports it; its uid, of 40 characters at most, is the service's name by default."""
    queries = Queries(service, 'environment=~"$environment"')
    board = (
        dashboard.Dashboard(service)
        .uid(uid or service[:40])
        .tags(["lmservice"])
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .readonly()
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus").label("data source"))
        .with_variable(_environments(service))
    )
    for title, graphs in _rows(queries):
        board = board.with_row(dashboard.Row(title))
        for graph in graphs:
            board = board.with_panel(_panel(graph))
    return JSONEncoder(indent=2, sort_keys=True).encode(board.build()) + "\n"


def _environments(service: str) -> dashboard.QueryVariable:
    query = f"label_values({Queries(service).series(names.STATE)}, environment)"
    return (
        dashboard.QueryVariable("environment")
        .datasource(_SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)  # noqa: FBT003 - the SDK's way
        .multi(True)  # noqa: FBT003
    )


def _panel(graph: Graph) -> timeseries.Panel:
    panel = timeseries.Panel().title(graph.title).unit(graph.unit).datasource(_SOURCE).min(0).span(8).height(8)
    for number, (legend, query) in enumerate(graph.lines.items()):
        target = prometheus.Dataquery().expr(query).legend_format(legend).ref_id(chr(ord("A") + number))
        panel = panel.with_target(target.datasource(_SOURCE))
    return panel


def _rows(queries: Queries) -> Iterator[tuple[str, list[Graph]]]:
    yield "Requests", _requests(queries)
    yield "Instances", _instances(queries)
    yield "Jobs and checks", _jobs(queries)
    yield "Outbound calls", _calls(queries)
    yield "Process", _process(queries)


def _requests(queries: Queries) -> list[Graph]:
    by_route = queries.requests(WINDOW, "http_route")
    slowest = {f"{share:.0%}": queries.slowest(share, WINDOW, "job") for share in (0.5, 0.95, 0.99)}
    by_status = queries.requests(WINDOW, "http_response_status_code")
    failed = f"({queries.errors(WINDOW, 'environment')}) or 0 * {queries.requests(WINDOW, 'environment')}"
    return [
        Graph("Requests by route", "reqps", {"{{http_route}}": by_route}),
        Graph("Requests by status", "reqps", {"{{http_response_status_code}}": by_status}),
        Graph("Share that fails", "percentunit", {"{{environment}}": failed}),
        Graph("Duration", "s", slowest),
        Graph("99 in 100 by route", "s", {"{{http_route}}": queries.slowest(0.99, WINDOW, "http_route")}),
        Graph("In flight", "none", {"{{pod}}": f"sum by (pod) ({queries.series(names.ACTIVE_REQUESTS)})"}),
        Graph("Rejected", "reqps", {"{{reason}}": queries.rate(names.REQUESTS_REJECTED, WINDOW, "reason")}),
    ]


def _instances(queries: Queries) -> list[Graph]:
    releases = f"count by (environment, version, revision) ({queries.series(names.BUILD_INFO)})"
    return [
        Graph("Ready", "none", {"{{environment}}": f"sum by (environment) ({queries.series(names.READY)})"}),
        Graph("State", "none", {"{{state}}": f"sum by (state) ({queries.series(names.STATE)})"}),
        Graph("Releases", "none", {"{{environment}} {{version}} {{revision}}": releases}),
        Graph("Event loop's lag", "s", {"{{pod}}": queries.series(names.EVENT_LOOP_LAG)}),
        Graph("Up for", "s", {"{{pod}}": f"time() - {queries.series('process_start_time_seconds')}"}),
        Graph("Log lines dropped", "none", {"{{pod}}": queries.rate(names.LOG_LINES_DROPPED, WINDOW, "pod")}),
    ]


def _jobs(queries: Queries) -> list[Graph]:
    runs = queries.rate(names.PERIODIC_JOB_RUNS, WINDOW, f"{OWN_JOB}, outcome")
    slowest = queries.slowest(0.95, WINDOW, OWN_JOB, names.PERIODIC_JOB_DURATION)
    since = f"time() - max by ({OWN_JOB}) ({queries.series(names.PERIODIC_JOB_LAST_SUCCESS)})"
    running = f"sum by ({OWN_JOB}) ({queries.series(names.PERIODIC_JOB_RUNNING)})"
    starts = f"max by ({OWN_JOB}) ({queries.series(names.STARTUP_JOB_DURATION)})"
    own = f"{{{{{OWN_JOB}}}}}"
    return [
        Graph("Health checks that are up", "none", {"{{check}}": _least(queries, names.HEALTH_CHECK_STATUS, "check")}),
        Graph("Start-up jobs", "s", {own: starts}),
        Graph("Periodic jobs: runs", "ops", {f"{own} {{{{outcome}}}}": runs}),
        Graph("Periodic jobs: duration", "s", {f"{own} 95%": slowest}),
        Graph("Periodic jobs: since the last success", "s", {own: since}),
        Graph("Periodic jobs: running", "none", {own: running}),
        Graph("Retries", "ops", {"{{name}}": queries.rate(names.RETRIES, WINDOW, "name")}),
        Graph("Pushes to Graphite", "ops", {"{{outcome}}": queries.rate(names.GRAPHITE_PUSHES, WINDOW, "outcome")}),
    ]


def _least(queries: Queries, name: str, by: str) -> str:
    return f"min by ({by}) ({queries.series(name)})"


def _calls(queries: Queries) -> list[Graph]:
    calls = "server_address, http_response_status_code, error_type"
    rate = queries.rate(f"{names.CLIENT_REQUEST_DURATION}_count", WINDOW, calls)
    slowest = queries.slowest(0.99, WINDOW, "server_address", names.CLIENT_REQUEST_DURATION)
    whom = "{{client}} {{host}}"
    exhausted = queries.rate(names.CLIENT_RETRY_BUDGET_EXHAUSTED, WINDOW, "client, host")
    breakers = f"sum by (client, host, state) ({queries.series(names.CLIENT_BREAKER_STATE)})"
    return [
        Graph("Calls", "reqps", {"{{server_address}} {{http_response_status_code}}{{error_type}}": rate}),
        Graph("99 in 100", "s", {"{{server_address}}": slowest}),
        Graph("Retries of calls", "ops", {whom: queries.rate(names.CLIENT_RETRIES, WINDOW, "client, host")}),
        Graph("Not repeated: budget used up", "ops", {whom: exhausted}),
        Graph("Breakers", "none", {f"{whom} {{{{state}}}}": breakers}),
    ]


def _process(queries: Queries) -> list[Graph]:
    cpu = queries.rate("process_cpu_seconds_total", WINDOW, "pod")
    collections = queries.rate("python_gc_collections_total", WINDOW, "generation")
    return [
        Graph("CPU", "none", {"{{pod}}": cpu}),
        Graph("Memory", "bytes", {"{{pod}}": queries.series("process_resident_memory_bytes")}),
        Graph("Open files", "none", {"{{pod}}": queries.series("process_open_fds")}),
        Graph("Garbage collections", "ops", {"{{generation}}": collections}),
    ]
