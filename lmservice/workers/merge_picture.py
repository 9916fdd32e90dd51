"""Workers' pictures as one, section by section: sums where things add up, else the worker worst off."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from lmservice.console.picture import MOST_WAITING
from lmservice.console.slowest import KEPT
from lmservice.console.traffic import MOST_ROUTES, NOTHING, quantile
from lmservice.web.failure import KEPT as MOST_ERRORS
from lmservice.workers.merge_progress import CHECKS, summed, worst
from lmservice.workers.totals import Answer

Part: TypeAlias = dict[str, Any]
_JOBS = ("done", "pending", "running", "failed")
_BREAKERS = ("closed", "half_open", "open")
_PHASES = ("", "drain_delay", "drain", "cleanup")


def traffic(parts: Sequence[Part]) -> Part:
    """Return all workers' requests; each part's figures have their `counts`, as `Traffic.report` gives them.

    Rates and requests in flight are summed. Server errors and quantiles are as exact as of one worker, as they come
    from the sums of what each has counted by bucket in its last few seconds. A worker tells its `MOST_ROUTES` busiest
    routes alone, so that of services with more a route's figures may lack those of a worker that hardly has it.
    """
    grouped: dict[tuple[str, str], list[Part]] = {}
    for route in (route for part in parts for route in part["routes"]):
        grouped.setdefault((route["method"], route["route"]), []).append(route)
    routes = [{"method": method, "route": route, **_figures(figures)} for (method, route), figures in grouped.items()]
    routes.sort(key=lambda route: (-route["rate"], -route["served"]))
    waiting = [request for part in parts for request in part["waiting"]]
    rejected: Counter[str] = Counter()
    for part in parts:
        rejected.update(part["rejected"])
    return {
        "all": _figures([part["all"] for part in parts]),
        "routes": routes[:MOST_ROUTES],
        "waiting": sorted(waiting, key=lambda request: -request["seconds"])[:MOST_WAITING],
        "rejected": dict(rejected),
        "limit": sum(part["limit"] for part in parts),
        "limited_by": sorted({what for part in parts for what in part["limited_by"]}),
    }


def _figures(parts: Sequence[Part]) -> Part:
    counts = [sum(bucket) for bucket in zip(*(part["counts"] for part in parts), strict=True)]
    answered = sum(counts)
    errors = sum(part["errors"] * sum(part["counts"]) for part in parts)
    return {
        "rate": round(sum(part["rate"] for part in parts), 2),
        "errors": round(errors / answered, 4) if answered else 0.0,
        "p50": quantile(counts, 0.5),
        "p99": quantile(counts, 0.99),
        **{name: sum(part[name] for part in parts) for name in ("served", "failed", "in_flight")},
    }


def silence(part: Part) -> None:
    """Take the rates out of the traffic of a worker that has said nothing for long."""
    for figures in (part["all"], *part["routes"]):
        figures.update(rate=0.0, counts=NOTHING.counts)


def of_ended(answered: Counter[Answer]) -> Part:
    """Return the traffic of workers that have ended: they have no rates, but what they have answered has been."""
    routes: dict[tuple[str, str], Part] = {}
    everything = _still()
    for (method, route, status), count in answered.items():
        its_figures = routes.setdefault((method, route), {"method": method, "route": route, **_still()})
        for figures in (everything, its_figures):
            figures["served"] += count
            figures["failed"] += count if status.startswith("5") else 0
    return {
        "all": everything,
        "routes": list(routes.values()),
        "waiting": [],
        "rejected": {},
        "limit": 0,
        "limited_by": [],
    }


def _still() -> Part:
    return {"rate": 0.0, "errors": 0.0, "counts": NOTHING.counts, "served": 0, "failed": 0, "in_flight": 0}


def startup(timelines: Sequence[Part]) -> Part:
    """Return the timeline of the worker whose start went worst, or took longest."""

    def rank(timeline: Part) -> tuple[int, float]:
        jobs = timeline["jobs"]
        status = max((_JOBS.index(job["status"]) for job in jobs), default=0)
        return status, max((job["began"] + job["seconds"] for job in jobs), default=0.0)

    return max(timelines, key=rank)


def checks(parts: Sequence[Sequence[Part]]) -> list[Part]:
    """Return each check as it is with the worker worst off."""
    return list(worst([_by_name(part) for part in parts], CHECKS).values()) if parts else []


def periodic_jobs(parts: Sequence[Sequence[Part]]) -> list[Part]:
    """Return each job by the worker where it last succeeded, with all runs; the run under way that began first."""
    if not parts:
        return []
    jobs = summed([_by_name(part) for part in parts])
    for name, job in jobs.items():
        copies = [copy for part in parts for copy in part if copy["name"] == name]
        running = [one["began"] for one in copies if one["status"] == "running" and one["began"]]
        jobs[name] = {**job, "began": min(running, default=job["began"])}
    return list(jobs.values())


def _by_name(part: Iterable[Part]) -> dict[str, Part]:
    return {entry["name"]: entry for entry in part}


def errors(parts: Sequence[Sequence[Part]]) -> list[Part]:
    """Return the last errors of all, the newest first."""
    return sorted((error for part in parts for error in part), key=lambda error: -error["at"])[:MOST_ERRORS]


def slowest(parts: Sequence[Sequence[Part]]) -> list[Part]:
    """Return the slowest of all, the slowest first."""
    return sorted((request for part in parts for request in part), key=lambda request: -request["seconds"])[:KEPT]


def clients(parts: Sequence[Sequence[Part]]) -> list[Part]:
    """Return each host by the breaker that is worst; calls and rates are summed, means weighted by the rates."""
    grouped: dict[tuple[str, str], list[Part]] = {}
    for host in (host for part in parts for host in part):
        grouped.setdefault((host["client"], host["host"]), []).append(host)
    return [_host(copies) for copies in grouped.values()]


def _host(parts: Sequence[Part]) -> Part:
    rate = sum(part["rate"] for part in parts)
    called = [part for part in parts if part["mean"] is not None]
    mean = sum(part["rate"] * part["mean"] for part in called)
    return {
        **max(parts, key=lambda part: _BREAKERS.index(part["breaker"])),
        "calls": sum(part["calls"] for part in parts),
        "failed": sum(part["failed"] for part in parts),
        "rate": round(rate, 2),
        "errors": round(sum(part["rate"] * part["errors"] for part in parts) / rate, 4) if rate else 0.0,
        "mean": round(mean / rate, 6) if rate and called else None,
    }


def phase(drains: Sequence[Part]) -> tuple[str, float]:
    """Return what the worker furthest behind is at, and the moment since when one is."""
    name = min((drain["phase"] for drain in drains), key=_PHASES.index)
    return name, min(drain["phase_since"] for drain in drains if drain["phase"] == name)


def holding(drains: Sequence[Part]) -> Part:
    """Return what still holds up a drain, of all workers that have not ended."""
    jobs = {name: None for drain in drains for name in drain["periodic_jobs"]}
    return {
        "periodic_jobs": list(jobs),
        "connections": _connections([drain["connections"] for drain in drains if drain["connections"]]),
        "background": sum(drain["background"] for drain in drains),
    }


def _connections(parts: Sequence[Part]) -> Part | None:
    if not parts:
        return None
    holding_up = [connection for part in parts for connection in part["each"]][:MOST_WAITING]
    return {**{name: sum(part[name] for part in parts) for name in ("open", "websockets")}, "each": holding_up}
