"""One stream of logs: a JSON object a line on stdout, whoever speaks.

structlog, the standard library's `logging`, warnings and uncaught exceptions all end in `Stream.write`. On a terminal
the same events come out for people. Levels are the standard library's, by logger name, so that `PUT /loggers/{name}`
rules every kind of logger alike.
"""

import contextlib
import importlib.util
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from importlib.machinery import ModuleSpec
from types import ModuleType, TracebackType
from typing import Any

from pydantic_core import to_json

from lmservice.settings.masking import MASK, secret_name
from lmservice.settings.model import Settings
from lmservice.telemetry import context
from lmservice.telemetry.output import Output

speaker: "ContextVar[Stream | None]" = ContextVar("lmservice_speaker", default=None)
"""The stream of the service that speaks, where several live in one process."""

_RESERVED = frozenset(("timestamp", "level", "logger", "event", "service", "version", "environment", "instance"))
_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_DEEPEST = 8
_CONTROLS = rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]"
_CONSOLE_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}
_is_secret = lru_cache(maxsize=4096)(secret_name)


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
        """Writes one event; never raises, as a full disk or a closed pipe must not cost a request."""
        line = {
            "timestamp": datetime.now(UTC).isoformat(timespec="microseconds")[:-6] + "Z",
            "level": level,
            "logger": logger,
            "event": event,
            **self.fields,
            **context.ids(),
            **values,
        }
        self.output.write(self._render(line))

    def write_masked(self, level: str, logger: str, event: str, values: Mapping[str, Any]) -> None:
        """Writes one event that somebody else composed.

        What is named like a secret is not shown, and what is named like one of the stream's own fields is left out.
        """
        reserved = _RESERVED | context.ids().keys()
        shown = {key: _without_secrets(key, value) for key, value in values.items() if key not in reserved}
        self.write(level, logger, event, shown)


def _without_secrets(key: object, value: Any, depth: int = 0) -> Any:
    if _is_secret(str(key)):
        return MASK
    if depth > _DEEPEST:  # or a value that holds itself
        return "…"
    if isinstance(value, Mapping):
        return {inner: _without_secrets(inner, item, depth + 1) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        if len(value) == 2 and isinstance(value[0], str | bytes) and _is_secret(_name(value[0])):  # noqa: PLR2004 - a header
            return [_name(value[0]), MASK]
        return [_without_secrets("", item, depth + 1) for item in value]
    return value


def _name(of_header: str | bytes) -> str:
    return of_header if isinstance(of_header, str) else of_header.decode("latin-1")


def json_line(event: Mapping[str, Any]) -> bytes:
    """One event as one line of JSON that no value can break out of, not even for a reader of Unicode line ends."""
    try:
        line = _json(event)
    except Exception:  # noqa: BLE001 - one value that cannot be told must not cost the others
        line = _json({printable(key): _tellable(value) for key, value in event.items()})
    return _without_controls(line) + b"\n"


def json_text(value: Any) -> str:
    """One value as JSON, as it would stand in a line."""
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
    """`value` as text that can be encoded, whatever it is."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception as error:  # noqa: BLE001 - a __repr__ of somebody's own
        text = f"<{type(value).__name__}, which cannot be shown: {type(error).__name__}>"
    return text.encode("utf-8", "backslashreplace").decode()


def _console_renderer() -> Callable[[Mapping[str, Any]], bytes]:
    import structlog  # noqa: PLC0415 - see _take_structlog

    render = structlog.dev.ConsoleRenderer(colors=_on_a_terminal(), exception_formatter=structlog.dev.plain_traceback)
    hidden = ("service", "version", "environment", "instance", "trace_id", "span_id")

    def lines(event: Mapping[str, Any]) -> bytes:
        shown = {_visible(key): _visible(value, key) for key, value in event.items() if key not in hidden}
        return f"{render(None, '', shown)}\n".encode("utf-8", "backslashreplace")

    return lines


def _visible(value: Any, key: str = "") -> Any:
    """`value` without characters that move a terminal's cursor; a traceback keeps its lines."""
    if isinstance(value, bool | int | float | None):
        return value
    text = printable(value)
    if key in ("exception", "stack"):
        return "\n".join(line.translate(_CONSOLE_CONTROLS) for line in text.split("\n"))
    return text.translate(_CONSOLE_CONTROLS)


def bound() -> dict[str, Any]:
    """What structlog's `bind_contextvars` has bound where the code runs."""
    loaded = sys.modules.get("structlog.contextvars")
    return loaded.get_contextvars() if loaded else {}


class _Handler(logging.Handler):
    """Brings the standard library's records into the stream of the service that speaks."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = record.getMessage()
        except Exception:  # noqa: BLE001 - a wrong format string must not cost the line
            event = f"{printable(record.msg)} {printable(record.args)}"
        values = bound() | {key: value for key, value in vars(record).items() if key not in _STANDARD_ATTRIBUTES}
        if record.exc_info and record.exc_info[0]:
            values["exception"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        if record.stack_info:
            values["stack"] = record.stack_info
        _process.stream.write_masked(record.levelname.lower(), record.name, event, values)


class _Process:
    """The process's logging, as long as any service has it: taken by the first, put back after the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: list[Stream] = []
        self._undo = contextlib.ExitStack()
        self.output = Output()

    @property
    def stream(self) -> Stream:
        """That of the service that speaks, else of the one that came last."""
        speaking = speaker.get()
        return speaking if speaking in self._streams else self._streams[-1]

    def take(self, stream: Stream, level: str, *, behind_others: bool = False) -> None:
        with self._lock:
            self._streams.insert(0 if behind_others else len(self._streams), stream)
            if len(self._streams) == 1:
                _take_standard_logging(self._undo)
                _take_structlog(self._undo)
                _take_hooks(self._undo)
            if not behind_others or len(self._streams) == 1:
                logging.getLogger().setLevel(level)

    def put_back(self, stream: Stream) -> None:
        with self._lock:
            if self._streams == [stream]:
                self._undo.close()
            self._streams.remove(stream)


def share_output(lock: int) -> None:
    """Lets this process's lines be whole where other processes write to the same output.

    Args:
        lock: the descriptor of a file that those processes have in common.
    """
    _process.output.lock = lock


_process = _Process()  # logging itself is the process's, and standard output too


@contextlib.contextmanager
def configured(settings: Settings, name: str, version: str, **more: str) -> Iterator[Stream]:
    """Takes over the process's logging; on leaving it is as it was, once every service has left.

    `more` is what every line says beside the usual fields.
    """
    fields = {
        "service": settings.service_name or name,
        "version": settings.version or version,
        "environment": settings.environment,
        "instance": settings.instance,
        **more,
    }
    console = settings.log_format == "console" or (settings.log_format == "auto" and _on_a_terminal())
    console = console and not _process.output.observers  # which understand JSON alone
    stream = Stream(fields, _process.output, console=console)
    _process.take(stream, settings.log_level)
    try:
        yield stream
    finally:
        _process.put_back(stream)


@contextlib.contextmanager
def observed(observe: Callable[[bytes], None]) -> Iterator[None]:
    """Pass all lines of this process to `observe` as well, those of code outside of any service too."""
    output = _process.output
    output.observers.append(observe)
    stream = Stream({}, output, console=False)
    _process.take(stream, "INFO", behind_others=True)
    try:
        yield
    finally:
        _process.put_back(stream)
        output.flush()
        output.observers.remove(observe)


def _on_a_terminal() -> bool:
    try:
        return sys.stdout.isatty()
    except (AttributeError, ValueError):  # there is none, or it has been closed
        return False


def _take_standard_logging(undo: contextlib.ExitStack) -> None:
    root = logging.getLogger()
    before, before_level = root.handlers[:], root.level
    root.handlers[:] = [_Handler()]
    logging.captureWarnings(capture=True)
    for noisy in ("uvicorn.error", "asyncio", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.addFilter(_told_better)
    undo.callback(uvicorn.removeFilter, _told_better)

    def put_back() -> None:
        root.handlers[:] = before
        root.setLevel(before_level)
        logging.captureWarnings(capture=False)

    undo.callback(put_back)


def _told_better(record: logging.LogRecord) -> bool:
    """Leaves out what uvicorn says of an app that failed in mid-answer: its exception has been logged."""
    return not str(record.msg).startswith("ASGI callable returned without completing")


def _take_structlog(undo: contextlib.ExitStack) -> None:
    """Configures structlog, at once where it has been imported, else when it is: it costs every start a twentieth."""
    if "structlog" in sys.modules:
        _configure_structlog(undo)
        return
    hook = _ImportHook("structlog", lambda: _configure_structlog(undo))
    sys.meta_path.insert(0, hook)
    undo.callback(hook.remove)


def _configure_structlog(undo: contextlib.ExitStack) -> None:
    import structlog  # noqa: PLC0415 - see _take_structlog

    def end(logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        level = {"exception": "error", "warn": "warning"}.get(method, method)
        name = str(event.pop("logger", getattr(logger, "name", "root")))
        _process.stream.write_masked(level, name, printable(event.pop("event", "")), event)
        raise structlog.DropEvent

    positional = structlog.stdlib.PositionalArgumentsFormatter()

    def formatted(logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        try:
            return positional(logger, method, event)
        except Exception:  # noqa: BLE001 - a wrong format string must not cost the line
            return {**event, "event": f"{printable(event['event'])} {printable(event.pop('positional_args', ()))}"}

    undo.callback(structlog.configure, **structlog.get_config())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            formatted,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            end,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=False,
    )


class _ImportHook:
    """Calls `then` once, right after the module `name` has been imported for the first time."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self._name = name
        self._then = then

    def find_spec(self, name: str, *_path_and_target: object) -> ModuleSpec | None:
        if name != self._name:
            return None
        self.remove()
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_then(module: ModuleType) -> None:
                execute(module)
                self._then()

            spec.loader.exec_module = execute_then  # type: ignore[method-assign]
        return spec

    def remove(self) -> None:
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(self)


def _take_hooks(undo: contextlib.ExitStack) -> None:
    log = logging.getLogger("lmservice.uncaught")
    before = sys.excepthook, threading.excepthook, sys.unraisablehook

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        log.critical("uncaught exception", exc_info=(kind, error, trace))

    def uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
        where = args.thread.name if args.thread else "?"
        error = args.exc_value or args.exc_type()
        log.error("uncaught exception in thread %s", where, exc_info=(args.exc_type, error, args.exc_traceback))

    def unraisable(args: "sys.UnraisableHookArgs") -> None:
        error = args.exc_value or args.exc_type()
        log.error("%s: %r", args.err_msg or "ignored", args.object, exc_info=(args.exc_type, error, args.exc_traceback))

    sys.excepthook, threading.excepthook, sys.unraisablehook = uncaught, uncaught_in_thread, unraisable

    def put_back() -> None:
        sys.excepthook, threading.excepthook, sys.unraisablehook = before

    undo.callback(put_back)


def levels() -> dict[str, dict[str, str | None]]:
    """Each logger's own level (None: its parent's) and the one in effect."""
    loggers: MutableMapping[str, logging.Logger] = {"root": logging.getLogger()}
    for name, logger in sorted(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger):
            loggers[name] = logger
    return {
        name: {
            "level": logging.getLevelName(logger.level) if logger.level else None,
            "effective": logging.getLevelName(logger.getEffectiveLevel()),
        }
        for name, logger in loggers.items()
    }
