"""The reference of log fields, from what the code declares."""

from collections.abc import Iterator, Mapping

from lmservice.telemetry import events, log_fields

_HEAD = """\
# The fields of the log

Made from `lmservice/telemetry/events.py`, and what that imports, by `./dev generate`.

A service writes one JSON object a line to its standard output, whoever speaks: lmservice, structlog, `logging`,
warnings, uvicorn. Times are seconds. What is named like a secret is masked.
"""


def render() -> str:
    """The reference, in Markdown."""
    return "\n".join([_HEAD, *_sections(), "## The events", "", *_events()])


def _sections() -> Iterator[str]:
    for title, fields in (
        ("In every line", log_fields.ALWAYS),
        ("In every line that a request caused", log_fields.IN_A_REQUEST),
        ("In any line", log_fields.SOMETIMES),
    ):
        yield f"## {title}\n"
        yield from _table(fields)
        yield ""


def _table(fields: Mapping[str, str]) -> Iterator[str]:
    yield "| field | |"
    yield "| --- | --- |"
    yield from (f"| `{name}` | {meaning} |" for name, meaning in fields.items())


def _events() -> Iterator[str]:
    for name, event in events.EVENTS.items():
        yield f"### `{name}`\n"
        yield f"`{event.level}`: {event.meaning}.\n"
        yield from _table(event.fields)
        yield ""
