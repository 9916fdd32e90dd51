"""What a terminal shows of a release while it goes on, with rich: its steps, both versions, the verdict."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_VERDICTS = {"passed": "green", "inconclusive": "yellow", "failed": "red"}
_PROBLEMS = 3
_DIGEST = 19  # sha256: and twelve digits


class Board:
    """The last of each kind of event.

    Args:
        clock: seconds, ever rising.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._release: Mapping[str, Any] = {}
        self._steps: Sequence[str] = ()
        self._step, self._begun = 0, 0.0
        self._pods: Sequence[Mapping[str, Any]] = ()
        self._figures: Mapping[str, Any] = {}
        self._weight: int | None = None
        self._rollback = ""

    def observe(self, name: str, details: Mapping[str, Any]) -> None:
        """Keep what is shown."""
        match name:
            case "begin":
                self._release = details
            case "plan":
                self._steps = details["steps"]
            case "step":
                self._step, self._begun, self._figures = details["number"], self._clock(), {}
                if self._step == details["of"]:
                    self._weight = None
            case "pods":
                self._pods = details["pods"]
            case "weight":
                self._weight = details["percent"]
            case "analysis":
                self._figures = details
            case "rollback":
                self._rollback, self._begun, self._figures = details["reason"], self._clock(), {}
                self._weight = None
            case _:
                pass

    def render(self) -> RenderableType:
        """Draw all of it as it is now."""
        parts: list[RenderableType] = [Text("")]
        if self._release:
            parts.append(self._title())
        if self._rollback:
            parts.append(Text(f"rolling back, for {self._elapsed()}: {self._rollback}", style="bold red"))
        elif self._steps:
            parts.append(self._way())
        if self._pods:
            parts += [Text(""), self._versions()]
        if self._figures:
            verdict = self._figures["verdict"]
            parts.append(Text(f"{verdict}: {self._figures['reason']}", style=_VERDICTS[verdict]))
        return Group(*parts, *self._problems())

    def _title(self) -> Text:
        service, environment = self._release["service"], self._release["environment"]
        artifact, namespace = self._release["artifact"], self._release["namespace"]
        return Text.assemble((f"{service} → {environment}", "bold"), (f"  in {namespace}", "dim"), f"\n{artifact}\n")

    def _way(self) -> Columns:
        """Draw the steps behind, the one under way and for how long, and those ahead."""
        parts = []
        for number, step in enumerate(self._steps, 1):
            if number < self._step:
                parts.append(Text(f"✓ {step}", style="green"))
            elif number == self._step:
                parts.append(Text(f"▶ {step}, {self._elapsed()}", style="bold"))
            else:
                parts.append(Text(f"· {step}", style="dim"))
        return Columns(parts, padding=(0, 2), column_first=False)

    def _elapsed(self) -> str:
        minutes, seconds = divmod(int(self._clock() - self._begun), 60)
        return f"{minutes}:{seconds:02}"

    def _versions(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name in ("", "version", "pods"):
            table.add_column(Text(name, style="dim"))
        figures = ("requests", "5xx", "p99") if self._figures else ()
        for name in (*(("traffic",) if self._weight is not None else ()), *figures):
            table.add_column(Text(name, style="dim"), justify="right")
        grouped: dict[tuple[bool, str], Counter[str]] = {}
        for pod in self._pods:
            grouped.setdefault((pod["canary"], _version(pod["image"])), Counter())[_state(pod)] += 1
        for (canary, version), states in sorted(grouped.items()):
            role = "canary" if canary else "stable"
            cells = [*self._share(canary=canary), *self._counts(role)]
            table.add_row(Text(role, style="bold"), Text(version), _said(states), *cells)
        return table

    def _share(self, *, canary: bool) -> list[str]:
        if self._weight is None:
            return []
        return [f"{self._weight if canary else 100 - self._weight} %"]

    def _counts(self, role: str) -> list[str]:
        if not self._figures:
            return []
        counts = self._figures[role]
        return [f"{counts['requests']:,.0f}", f"{counts['error_ratio']:.2%}", f"{counts['p99'] * 1000:,.0f} ms"]

    def _problems(self) -> list[Text]:
        troubled = [pod for pod in self._pods if pod["problem"] and not pod["ending"]]
        lines = [Text(f"pod {pod['name']}: {pod['problem']}", style="red") for pod in troubled[:_PROBLEMS]]
        more = [Text(f"and {len(troubled) - _PROBLEMS} more", style="red")] if len(troubled) > _PROBLEMS else []
        return lines + more


def _version(image: str) -> str:
    """Return the tag, or a digest's beginning: the rest is the same for all."""
    _, at, digest = image.partition("@")
    return digest[:_DIGEST] if at else image.rpartition("/")[2].rpartition(":")[2] or image


def _state(pod: Mapping[str, Any]) -> str:
    return "failing" if pod["problem"] and not pod["ending"] else str(pod["state"])


def _said(states: Counter[str]) -> Text:
    colours = {"ready": "green", "starting": "yellow", "failing": "bold red", "ending": "dim"}
    parts = [Text(f"{states[state]} {state}", style=colours[state]) for state in colours if states[state]]
    return Text(", ").join(parts)
