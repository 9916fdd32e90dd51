"""What a release shows while it goes on: a live table on a terminal, a line for each event elsewhere, or JSON."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

from lmservice.deploy.objects import plain_name
from lmservice.deploy.prospect import FieldChange, Prospect
from lmservice.deploy.release import Observer
from lmservice.errors import MissingExtraError

_SENTENCES = {
    "begin": "releasing {artifact} as {service} to {environment}: namespace {namespace} of {cluster}",
    "step": "step {number} of {of}: {step}",
    "note": "{text}",
    "weight": "the canary gets {percent} % of what the routes send",
    "rollback": "rolling back: {reason}",
    "released": "release {release}: {artifact} serves",
}


@contextmanager
def shown(form: str = "live", out: TextIO | None = None) -> Iterator[Observer]:
    """Give an observer that shows what it is told, on stderr unless `out` says otherwise.

    Args:
        form: `live` (a table on a terminal, lines elsewhere) or `json` (one object a line).
        out: where to.
    """
    stream = out or sys.stderr
    if form == "json":
        yield lambda name, details: print_json(stream, name, details)
    elif not stream.isatty():
        yield Lines(stream)
    else:
        with _live(stream) as observer:
            yield observer


def undisturbed(observer: Observer) -> Observer:
    """Tell an observer no more once it raises: a full disk or a closed pipe is no reason to end a release."""
    listeners = [observer]

    def observe(name: str, details: Mapping[str, Any]) -> None:
        try:
            for listener in listeners:
                listener(name, details)
        except Exception:  # noqa: BLE001 - whatever it is, it is the observer's
            listeners.clear()

    return observe


class Lines:
    """One line an event; what has not changed is not said again."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: dict[str, str] = {}

    def __call__(self, name: str, details: Mapping[str, Any]) -> None:
        """Write the line; the plan has one for each step, when it begins."""
        if name == "plan":
            return
        line = sentence(name, details)
        if line != self._last.get(name):
            self._stream.write(f"{_line(name, details)}\n")
            self._stream.flush()
        self._last[name] = line


def sentence(name: str, details: Mapping[str, Any]) -> str:
    """Put an event into words."""
    if name == "pods":
        return f"pods: {', '.join(_pods(details['pods'])) or 'none yet'}"
    if name == "analysis":
        figures = f"{_figures('canary', details)}; {_figures('stable', details)}"
        return f"{figures}: {details['verdict']}, {details['reason']}"
    return _SENTENCES[name].format(**details)


def _pods(pods: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Count pods by what they run and how they are: `2 ready (registry.intra/shop:1)`."""
    counted = Counter(
        (pod["canary"], pod["image"], "" if pod["ending"] else pod["problem"], pod["state"]) for pod in pods
    )
    for (canary, image, problem, state), count in sorted(counted.items()):
        version = f"canary {image}" if canary else image
        yield f"{count} failing ({version}): {problem}" if problem else f"{count} {state} ({version})"


def planned(ahead: Prospect) -> Iterator[str]:
    """Put into lines what a release would do to each object, field by field where it is there already."""
    shown_already = {(change.kind, change.name) for change in ahead.changes}
    for change in ahead.changes:
        yield f"{change.action:<6}  {change.kind} {change.name}"
        yield from (f"        {_field(field)}" for field in change.fields)
    for name, action in ahead.objects.items():
        _, kind, _, plain = name.split("/")
        known = plain_name({"kind": kind, "metadata": {"name": plain}})
        if action == "keep" and (kind, known) not in shown_already:
            yield f"keep    {kind} {known}"


def _field(change: FieldChange) -> str:
    if change.manager:
        return f"{change.field} stays, as {change.manager} has set it: it is not in the overlay"
    if not change.before:
        return f"{change.field}: {change.after} is new"
    if not change.after:
        return f"{change.field}: {change.before} goes"
    if change.before == change.after:
        return f"{change.field}: another value {change.after}"
    return f"{change.field}: {change.before} -> {change.after}"


def _figures(version: str, details: Mapping[str, Any]) -> str:
    counts = details[version]
    return (
        f"{version}: {counts['requests']:.0f} requests, {counts['error_ratio']:.2%} errors,"
        f" p99 {counts['p99'] * 1000:.0f} ms"
    )


def print_json(stream: TextIO, name: str, details: Mapping[str, Any]) -> None:
    """Print one event as a line."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    stream.write(json.dumps({"timestamp": now, "event": name, **details}) + "\n")
    stream.flush()


@contextmanager
def _live(stream: TextIO) -> Iterator[Observer]:
    try:
        from rich.console import Console  # noqa: PLC0415 - of the extra
        from rich.live import Live  # noqa: PLC0415

        from lmservice.deploy.progress_table import Board  # noqa: PLC0415 - which needs rich too
    except ImportError:
        raise MissingExtraError("to show a release live needs rich: install lmservice[deploy]") from None
    board = Board()
    with Live(console=Console(file=stream), get_renderable=board.render, refresh_per_second=4) as live:

        def observe(name: str, details: Mapping[str, Any]) -> None:
            board.observe(name, details)
            if name not in {"pods", "analysis", "plan"}:
                live.console.print(_line(name, details), highlight=False, markup=False)

        yield observe


def _line(name: str, details: Mapping[str, Any]) -> str:
    return f"{datetime.now(UTC):%H:%M:%S} {sentence(name, details)}"
