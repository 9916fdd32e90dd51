"""The screen of `lmservice top`, by rich: a line for each of many instances, and all of the first one in trouble."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lmservice.cli.top.feed import Feed

NARROW = 76
"""The width, in columns, below which what is least needed is left out."""
_COLOURS = {"starting": "blue", "ready": "green", "draining": "yellow", "stopped": "bright_black", "failed": "red"}
_BAR = 24


def screen(feeds: Sequence[Feed], width: int, height: int | None) -> RenderableType:
    """Draw everything, for a terminal of this size; lines past `height` are left out."""
    parts: list[RenderableType] = []
    if len(feeds) > 1:
        parts.append(_overview(feeds, narrow=width < NARROW))
        shown = next((feed for feed in feeds if _troubled(feed) and feed.picture), None)
        shown = shown or next((feed for feed in feeds if feed.picture), feeds[0])
    else:
        shown = feeds[0]
    parts += _instance(shown, width)
    if height is not None:
        parts.append(Text("q leaves", style="dim"))
    return Group(*parts)


def _troubled(feed: Feed) -> bool:
    return bool(feed.problem) or state(feed) != "ready"


def state(feed: Feed) -> str:
    """Return what an instance is: its state, `not ready`, or `gone`."""
    if feed.ended is not None:
        return str(feed.ended["state"])
    if feed.problem:
        return "gone" if feed.picture else "no answer"
    return "not ready" if feed.picture["unready_for"] else str(feed.picture["state"])


def _said(feed: Feed) -> Text:
    word = state(feed)
    return Text(word, style=f"bold {_COLOURS.get(word, 'red')}")


def _overview(feeds: Sequence[Feed], *, narrow: bool) -> Table:
    table = _table(("instance", ""), ("state", ""), ("req/s", "n"), ("5xx", "n"), ("p99", "n"), ("in flight", "n"))
    if not narrow:
        table.add_column("lag", justify="right")
        table.add_column("url", style="dim")
    several = len({feed.hello["info"]["name"] for feed in feeds if feed.hello}) > 1
    for feed in feeds:
        info = feed.hello.get("info")
        name = (f"{info['name']} {info['instance']}" if several else info["instance"]) if info else feed.url
        row: list[str | Text] = [Text(name), _said(feed)]
        row += _figures(feed.picture["traffic"]["all"]) if feed.picture and not feed.problem else ["", "", "", ""]
        if not narrow:
            where = Text(f"{feed.url}: {feed.problem}", "red") if feed.problem else Text(feed.url)
            row += [duration(feed.picture["event_loop"]["lag"]) if feed.picture and not feed.problem else "", where]
        table.add_row(*row)
    return table


def _figures(traffic: dict[str, Any]) -> list[str | Text]:
    errors = Text(percent(traffic["errors"]), style="red" if traffic["errors"] else "")
    return [f"{traffic['rate']:.1f}", errors, duration(traffic["p99"]), str(traffic["in_flight"])]


def _instance(feed: Feed, width: int) -> list[RenderableType]:
    if not feed.picture:
        return [Text.assemble(_said(feed), f"  {feed.url}: {feed.problem}")]
    picture, narrow = feed.picture, width < NARROW
    parts: list[RenderableType] = [_head(feed), *_failures(picture)]
    if picture["drain"] is not None and feed.ended is None:
        parts.append(_drain(picture))
    if picture["state"] in ("starting", "failed"):
        parts.append(_startup(picture["startup"], narrow=narrow))
    if picture.get("workers"):
        parts.append(_workers(picture, narrow=narrow))
    parts += [_traffic(picture["traffic"], narrow=narrow), _event_loop(picture)]
    parts += [part for part in (_checks(picture), _periodic(picture), _clients(picture)) if part.row_count]
    if picture["slowest"]:
        parts.append(_slowest(picture["slowest"][:5], narrow=narrow))
    return parts


def _head(feed: Feed) -> Text:
    info, picture = feed.hello["info"], feed.picture
    text = Text.assemble((info["name"], "bold"), f" {info['version']} {info['environment']} {info['instance']}  ")
    text.append_text(_said(feed))
    text.append(f" for {age(picture['at'] - picture['since'])}")
    if picture["unready_for"]:
        text.append(f": {', '.join(picture['unready_for'])} down", style="red")
    if feed.ended is not None and feed.ended.get("report"):
        report = feed.ended["report"]
        text.append(f": exit code {report['exit_code']}; {'; '.join(report.get('problems', ()))}".rstrip("; "))
    if feed.problem:
        text.append(f"  {feed.problem}; this is from {age(max(0.0, time.time() - picture['at']))} ago", style="red")
    return text


def _failures(picture: dict[str, Any]) -> Iterator[Text]:
    """Yield why it does not come up, or stops by itself; nothing where it does neither, or it is not for this peer."""
    if picture.get("failure"):
        yield Text(picture["failure"], style="red")
    for job in picture["startup"]["jobs"]:
        if job["status"] == "running" and job.get("failure"):
            yield Text(f"{job['name']}, attempt {_attempts(job)}: {job['failure']}", style="yellow")


def _attempts(job: dict[str, Any]) -> str:
    allowed = job["attempts_allowed"]
    return f"{job['attempts']} of {allowed}" if allowed is not None else str(job["attempts"])


def _workers(picture: dict[str, Any], *, narrow: bool) -> Table:
    heads = [("worker", ""), ("", ""), ("req/s", "n"), ("in flight", "n"), ("pid", "n")]
    workers = picture["workers"]
    died = any(worker["last_death"] for worker in workers)
    table = _table(*heads, *([] if narrow else [("lag", "n")]), *([("died", "")] if died else []))
    for worker in workers:
        word = "not ready" if worker["state"] == "ready" and not worker["ready"] else worker["state"]
        more: list[str | Text] = [] if narrow else [duration(worker["lag"])]
        more += [Text(_death(worker, picture["at"]), "red")] if died else []
        state = Text(word, _COLOURS.get(word, "red"))
        table.add_row(
            str(worker["worker"]), state, f"{worker['rate']:.1f}", str(worker["in_flight"]), str(worker["pid"]), *more
        )
    return table


def _death(worker: dict[str, Any], now: float) -> str:
    """Say how often one has died in a worker's place, and how and when the last one did."""
    last = worker["last_death"]
    if last is None:
        return ""
    killed = f"killed for {last['cause']}" if "cause" in last else last.get("signal")
    how = killed or f"exit code {last['exit_code']}"
    return f"{worker['deaths']}x, {how}, {age(now - last['at'])} ago"


def _drain(picture: dict[str, Any]) -> Text:
    drain, traffic = picture["drain"], picture["traffic"]
    text = Text(f"stop by {drain['reason']}: {drain['phase'].replace('_', ' ')}", style="yellow")
    if drain["limit"]:
        text.append(f", {age(picture['at'] - drain['phase_since'])} of at most {age(drain['limit'])}")
    opened = (drain["connections"] or {}).get("open", 0)
    jobs = ", ".join(drain["periodic_jobs"]) or "none"
    text.append(
        f"; {traffic['all']['in_flight']} requests, {opened} connections, {drain['background']} background tasks,"
        f" periodic jobs: {jobs}"
    )
    for request in traffic["waiting"][:5]:
        text.append(
            f"\n  {duration(request['seconds']):>8}  {_named(request)}  {request.get('request_id', '')}", "none"
        )
    return text


def _startup(startup: dict[str, Any], *, narrow: bool) -> Table:
    table = _table(("start-up", ""), ("", ""), ("", "n"))
    end = max([0.001, *(job["began"] + job["seconds"] for job in startup["jobs"])])
    bar = _BAR // 2 if narrow else _BAR
    for job in startup["jobs"]:
        before, length = round(bar * job["began"] / end), max(1, round(bar * job["seconds"] / end))
        pending = job["status"] == "pending"
        style = {"done": "green", "running": "blue", "failed": "red"}.get(job["status"], "dim")
        drawn = Text(" " * before + "█" * length if not pending else "", style=style)
        tries = f" {_attempts(job)}" if job["attempts"] > 1 else ""
        table.add_row(Text(job["name"]), drawn, "waits" if pending else f"{duration(job['seconds'])}{tries}")
    return table


def _traffic(traffic: dict[str, Any], *, narrow: bool) -> Table:
    heads = [("route", ""), ("req/s", "n"), ("5xx", "n"), ("p99", "n"), ("in flight", "n")]
    table = _table(*heads, *([] if narrow else [("p50", "n"), ("served", "n")]))
    rows = [
        ("all", traffic["all"]),
        *((f"{figures['method']} {figures['route']}", figures) for figures in traffic["routes"][:8]),
    ]
    for name, figures in rows:
        more = [] if narrow else [duration(figures["p50"]), f"{figures['served']:,}"]
        table.add_row(Text(name), *_figures(figures), *more, style="bold" if name == "all" else "")
    return table


def _event_loop(picture: dict[str, Any]) -> Text:
    refused = {name: count for name, count in picture["traffic"]["rejected"].items() if count}
    text = Text(f"event-loop lag {duration(picture['event_loop']['lag'])}")
    if not picture["event_loop"]["well"]:
        text.append(" it stands still", style="red")
    if short := picture["traffic"].get("limited_by"):
        text.append(f", limited to {picture['traffic']['limit']} at once by {', '.join(short)}", style="red")
    return text.append("".join(f", {count} refused by {name}" for name, count in refused.items()), style="red")


def _checks(picture: dict[str, Any]) -> Table:
    table = _table(("check", ""), ("", ""), ("last polls", ""), ("", ""))
    for check in picture["checks"]:
        polls = Text()
        for _, _, error in check["polls"][-20:]:
            polls.append("█" if error else "▂", style="red" if error else "green")
        style = {"up": "green", "down": "red"}.get(check["status"], "")
        table.add_row(
            Text(check["name"]),
            Text(check["status"], style),
            polls,
            Text(check.get("failure") or check.get("error", ""), "red"),
        )
    return table


def _periodic(picture: dict[str, Any]) -> Table:
    table = _table(("periodic job", ""), ("", ""), ("took", "n"), ("runs", "n"), ("failed", "n"))
    for job in picture["periodic_jobs"]:
        failed = Text(str(job["failures"]), "red" if job["failures"] else "")
        table.add_row(Text(job["name"]), job["status"], duration(job["seconds"]), str(job["runs"]), failed)
    return table


def _clients(picture: dict[str, Any]) -> Table:
    table = _table(("outbound", ""), ("breaker", ""), ("calls/s", "n"), ("failed", "n"), ("mean", "n"))
    for client in picture["clients"]:
        style = {"closed": "green", "open": "red"}.get(client["breaker"], "yellow")
        breaker = Text(client["breaker"].replace("_", " "), style)
        figures = f"{client['rate']:.1f}", percent(client["errors"]), duration(client["mean"])
        table.add_row(Text(client["host"]), breaker, *figures)
    return table


def _slowest(slowest: Iterable[dict[str, Any]], *, narrow: bool) -> Table:
    table = _table(("slowest", "n"), ("", "n"), ("request", ""), *([] if narrow else [("request id", "")]))
    for request in slowest:
        more = [] if narrow else [Text(request.get("request_id", ""), "dim")]
        table.add_row(duration(request["seconds"]), str(request["status"]), Text(_named(request)), *more)
    return table


def _named(request: dict[str, Any]) -> str:
    """Name what was asked for, and which of several workers was."""
    worker = f" (worker {request['worker']})" if "worker" in request else ""
    return f"{request['method']} {request.get('path') or request['route']}{worker}"


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name, kind in columns:
        table.add_column(name, justify="right" if kind else "left", no_wrap=True, overflow="ellipsis")
    return table


def duration(seconds: float | None) -> str:
    """Write a time to answer as a person reads it."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 or not seconds else f"{seconds * 1000:.1f} ms"  # noqa: PLR2004
    return f"{seconds:.2f} s"


def percent(share: float) -> str:
    """Write a share of a whole as a person reads it."""
    return f"{share:.1%}" if share else "0 %"


def age(seconds: float) -> str:
    """Write a number of seconds as a person says how long ago something was."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
