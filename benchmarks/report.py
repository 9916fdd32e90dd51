"""Tables of figures: printed, and written into their own section of RESULTS.md with the machine they come from."""

import argparse
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
TITLE = (
    "# Benchmarks\n\nFigures as the benchmarks printed them; each run of `./dev bench NAME` rewrites its own section.\n"
)
PACKAGES = ("lmservice", "starlette", "uvicorn", "uvloop", "httptools", "pydantic")

Row = Mapping[str, str | int | float]


def _machine() -> str:
    today = datetime.now(UTC).date().isoformat()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{today}; {os.cpu_count()} cores, {platform.system()} {platform.release()}, {python}"


@dataclass(frozen=True)
class Table:
    """Rows of the same columns, and what they show."""

    title: str
    rows: Sequence[Row]

    def markdown(self) -> str:
        """The table, aligned so that it reads well in a terminal too."""
        columns = list(self.rows[0])
        cells = [columns, *([_shown(row[column]) for column in columns] for row in self.rows)]
        widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
        lines = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
        rule = "|".join("-" * (width + 2) for width in widths)
        return "\n".join([f"{self.title}\n", f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])])


@dataclass(frozen=True)
class Report:
    """What one run of a benchmark found.

    Attributes:
        name: the benchmark's word: `./dev bench NAME`.
        title: what it measures.
        setting: how it measures, in a sentence or two.
        tables: the figures.
        broken: a line for each promise that the figures do not keep.
        versions: of the packages that were measured.
    """

    name: str
    title: str
    setting: str
    tables: Sequence[Table]
    broken: Sequence[str]
    versions: Mapping[str, str]
    machine: str = field(default_factory=_machine)

    def markdown(self) -> str:
        """The report as a section of RESULTS.md."""
        packages = ", ".join(f"{name} {self.versions[name]}" for name in PACKAGES)
        verdict = "\n".join(f"- Not kept: {line}" for line in self.broken) or "Every promise kept."
        about = f"{self.setting}\n\n{self.machine}; {packages}."
        return "\n\n".join([f"## {self.title}", about, *(table.markdown() for table in self.tables), verdict]) + "\n"

    def publish(self, output: str) -> int:
        """Prints the report; rewrites its section of RESULTS.md unless it is JSON, which other programs read.

        Returns the exit code: 1 for a broken promise.
        """
        if output == "json":
            print(json.dumps(asdict(self), indent=2))
        else:
            print(self.markdown())
            _rewrite(self.name, self.markdown())
        return 1 if self.broken else 0


def parser(description: str | None) -> argparse.ArgumentParser:
    """The command line that benchmarks have in common."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--output", choices=["table", "json"], default="table", help="json leaves RESULTS.md as it is")
    return made


def _shown(value: str | float) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _rewrite(name: str, section: str) -> None:
    text = RESULTS.read_text() if RESULTS.exists() else TITLE
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    block = f"{begin}{section}{end}"
    found = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    text = found.sub(lambda _: block, text) if found.search(text) else f"{text}\n{block}"
    RESULTS.write_text(text)
