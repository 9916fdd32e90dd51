"""One stream of logs: a JSON object a line on stdout, whoever logs; on a terminal the same events, for people.

`takeover` brings structlog, the standard library's `logging`, warnings and uncaught exceptions here.
"""

import logging
import re
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json

from lmservice.errors import without_passwords
from lmservice.telemetry import context
from lmservice.telemetry.frames import folded
from lmservice.telemetry.masking import without_secrets
from lmservice.telemetry.output import Output

current_stream: "ContextVar[Stream | None]" = ContextVar("lmservice_stream", default=None)
"""The log stream of the service running in this context; several may live in one process."""

GIVEN = "given_"
"""What precedes the name of a value that would hide one of the stream's own fields."""

_RESERVED = frozenset(("timestamp", "level", "logger", "event", "service", "version", "environment", "instance"))
_ADDRESSES = ("url", "management_url")
_CONTROLS = rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]"
_CONSOLE_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


class Stream:
    """Renders events and writes them, each as one line, to whatever `sys.stdout` is at that moment.

    Args:
        fields: what every event says of the service: `service`, `version`, `environment`, `instance`.
        output: where the lines go.
        console: whether to write for people rather than JSON.
    """

    def __init__(self, fields: Mapping[str, str], output: Output, *, console: bool) -> None:
        self.fields = {name: printable(value) for name, value in fields.items()}
        self.output = output
        self.json = not console
        self._render = _console_renderer() if console else json_line

    def write(self, level: str, logger: str, event: str, values: Mapping[str, Any]) -> None:
        """Write one event; never raises, as a full disk or a closed pipe must not cost a request."""
        line = {
            "timestamp": datetime.now(UTC).isoformat(timespec="microseconds")[:-6] + "Z",
            "level": level,
            "logger": logger,
            "event": event,
            **self.fields,
            **context.ids(),
            **values,
        }
        self.output.write(_masked(self._render(line)))

    def write_masked(self, level: str, logger: str, event: str, values: Mapping[str, Any]) -> None:
        """Write one event that somebody else composed.

        What is named like a secret is not shown; what is named like a field of the line's own becomes `given_…`.
        """
        reserved = _RESERVED | context.ids().keys() | self.fields.keys()
        shown = {
            f"{GIVEN}{key}" if key in reserved else key: without_secrets(key, value) for key, value in values.items()
        }
        self.write(level, logger, event, shown)


def _masked(line: bytes) -> bytes:
    """Return a line in which no URL shows its password, wherever in it that stands: in a message, in a traceback."""
    if b"@" not in line or b"://" not in line:
        return line
    return without_passwords(line.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def json_line(event: Mapping[str, Any]) -> bytes:
    """Return an event as one line of JSON that no value breaks out of, even for a reader of Unicode line ends."""
    try:
        line = _json(event)
    except Exception:  # noqa: BLE001 - one value that cannot be told must not cost the others
        line = _json({printable(key): _tellable(value) for key, value in event.items()})
    return _without_controls(line) + b"\n"


def json_text(value: Any) -> str:
    """Return one value as JSON, as it would stand in a line."""
    return _without_controls(_json(_tellable(value))).decode()


def _without_controls(line: bytes) -> bytes:
    return line if line.isascii() and b"\x7f" not in line else re.sub(_CONTROLS, _escape, line)


def _json(value: Any) -> bytes:
    return to_json(value, fallback=repr, inf_nan_mode="strings")


def _tellable(value: Any) -> Any:
    try:
        _json(value)
    except Exception:  # noqa: BLE001 - whatever it is
        return printable(value)
    return value


def _escape(match: re.Match[bytes]) -> bytes:
    return f"\\u{ord(match[0].decode()):04x}".encode()


def printable(value: object) -> str:
    """Return `value` as text that can be encoded, whatever it is."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception as error:  # noqa: BLE001 - a __repr__ of somebody's own
        text = f"<{type(value).__name__}, which cannot be shown: {type(error).__name__}>"
    return text.encode("utf-8", "backslashreplace").decode()


def level_for_people() -> int:
    """Return the level of what people want to see as it goes, and programs do not: INFO on a terminal, else DEBUG."""
    stream = current_stream.get()
    return logging.DEBUG if stream is None or stream.json else logging.INFO


def _console_renderer() -> Callable[[Mapping[str, Any]], bytes]:
    import structlog  # noqa: PLC0415 - see _take_structlog

    render = structlog.dev.ConsoleRenderer(colors=on_a_terminal(), exception_formatter=structlog.dev.plain_traceback)
    hidden = ("service", "version", "environment", "instance", "trace_id", "span_id")

    def lines(event: Mapping[str, Any]) -> bytes:
        shown = {_visible(key): _visible(value, key) for key, value in event.items() if key not in hidden}
        return f"{render(None, '', shown)}\n".encode("utf-8", "backslashreplace")

    return lines


def _visible(value: Any, key: str = "") -> Any:
    """Return `value` without characters that move a terminal's cursor; a traceback has lines, those of own code."""
    if isinstance(value, bool | int | float | None):
        return value
    text = printable(value)
    if key in ("exception", "stack"):
        return folded("\n".join(line.translate(_CONSOLE_CONTROLS) for line in text.split("\n")))
    if key in _ADDRESSES:
        text = text.replace("//0.0.0.0:", "//localhost:").replace("//[::]:", "//localhost:")
    return text.translate(_CONSOLE_CONTROLS)


def on_a_terminal() -> bool:
    """Return whether standard output is a terminal."""
    try:
        return sys.stdout.isatty()
    except (AttributeError, ValueError):  # there is none, or it has been closed
        return False
