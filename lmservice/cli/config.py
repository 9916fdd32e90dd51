"""`lmservice config`: every setting of a service, for a terminal, a `.env` file, a document or a program."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from lmservice.errors import MASK, ExitCode
from lmservice.service import Service
from lmservice.settings import report
from lmservice.settings.report import DescribedSetting

_HEADINGS = ("variable", "type", "default", "value", "source")


def show(service: Service, form: str) -> ExitCode:
    """Print the settings in one of the forms `table`, `env`, `markdown`, `json`; secrets are masked in each.

    Raises:
        SettingsError: the settings cannot be used.
    """
    settings = service.settings_class.load()
    if form == "json":
        print(report.as_json(settings, indent=2).decode())  # noqa: T201 - the command's output
    else:
        print(_FORMS[form](report.describe(settings)))  # noqa: T201
    return ExitCode.CLEAN


def _rows(variables: Sequence[DescribedSetting]) -> list[tuple[str, ...]]:
    return [
        (setting.variable, setting.type, _text(setting.default), _text(setting.value), setting.source)
        for setting in variables
    ]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    if isinstance(value, bool | None | dict):
        return json.dumps(value) if value is not None else ""
    return str(value)


def _table(variables: Sequence[DescribedSetting]) -> str:
    rows = [tuple(heading.upper() for heading in _HEADINGS), *_rows(variables)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _env(variables: Sequence[DescribedSetting]) -> str:
    """Write a file for `.env.example`: what differs from the default is set, the rest is there to be uncommented."""
    return "\n".join(
        f"# {setting.description or setting.name} ({setting.type})\n{_assignment(setting)}\n" for setting in variables
    ).rstrip()


def _assignment(setting: DescribedSetting) -> str:
    is_set = setting.source != "default"
    value = _text(setting.value if is_set else setting.default)
    if MASK in value or (setting.computed and not is_set):  # nobody's secret, and no machine's name
        return f"# {setting.variable}="
    return f"{'' if is_set else '# '}{setting.variable}={_quoted(value)}"


def _quoted(value: str) -> str:
    """Quote a value as both a shell and dotenv read it."""
    if all(character.isalnum() or character in "_-.:/," for character in value):
        return value
    if "'" not in value:
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _markdown(variables: Sequence[DescribedSetting]) -> str:
    lines = ["| variable | type | default | value | source | |", "| --- | --- | --- | --- | --- | --- |"]
    for setting, row in zip(variables, _rows(variables), strict=True):
        cells = [f"`{cell}`" if cell else "" for cell in row[:4]] + [row[4], setting.description]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


_FORMS: dict[str, Callable[[Sequence[DescribedSetting]], str]] = {"table": _table, "env": _env, "markdown": _markdown}
