"""The takeover of the process's logging, as long as any service has it: all of it ends in `logs.Stream.write`.

structlog, the standard library's `logging`, warnings and uncaught exceptions are one stream. Levels are the standard
library's, by logger name, so that `PUT /loggers/{name}` rules every kind of logger alike.
"""

import contextlib
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from types import TracebackType
from typing import Any

from lmservice.settings.model import Settings
from lmservice.telemetry.import_hook import when_imported
from lmservice.telemetry.logs import GIVEN, Stream, current_stream, on_a_terminal, printable
from lmservice.telemetry.masking import masked_argument, without_secrets
from lmservice.telemetry.output import Output
from lmservice.telemetry.reconfiguration import HINT, QUIET, StreamGuard, quieten

_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def bound() -> dict[str, Any]:
    """Return what structlog's `bind_contextvars` has bound where the code runs."""
    loaded = sys.modules.get("structlog.contextvars")
    return loaded.get_contextvars() if loaded else {}


class _Handler(logging.Handler):
    """Brings the standard library's records into the stream of the service that speaks."""

    def emit(self, record: logging.LogRecord) -> None:
        event = _message(record)
        values = bound() | {key: value for key, value in vars(record).items() if key not in _STANDARD_ATTRIBUTES}
        texts = {}
        if record.exc_info and record.exc_info[0]:
            texts["exception"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        if record.stack_info:
            texts["stack"] = record.stack_info
        values = {f"{GIVEN}{key}" if key in texts else key: value for key, value in values.items()} | texts
        _process.stream.write_masked(record.levelname.lower(), record.name, event, values)


def _message(record: logging.LogRecord) -> str:
    """Return a record's message, in which no argument shows a secret."""
    args: Any = record.args
    try:
        if isinstance(args, Mapping):
            args = {key: without_secrets(key, value) for key, value in args.items()}
        elif args:
            args = tuple(map(masked_argument, args))
        message = str(masked_argument(record.msg))
        return message % args if args else message
    except Exception:  # noqa: BLE001 - a wrong format string must not cost the line
        return f"{printable(masked_argument(record.msg))} {printable(args)}"


class _Process:
    """The process's logging, as long as any service has it: taken by the first, put back after the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: list[Stream] = []
        self._last: Stream
        self._levels: dict[int, str] = {}
        self._undo = contextlib.ExitStack()
        self.output = Output()
        self.guard = StreamGuard(_Handler())

    @property
    def stream(self) -> Stream:
        """Return the stream of the service running in this context, else of the one that came last, gone or not."""
        speaking, streams = current_stream.get(), self._streams[:]
        return speaking if speaking in streams else [self._last, *streams][-1]

    def take(self, stream: Stream, level: str, *, behind_others: bool = False) -> None:
        with self._lock:
            self._last = stream
            self._streams.insert(0 if behind_others else len(self._streams), stream)
            self._levels[id(stream)] = level
            if len(self._streams) == 1:
                self.guard = StreamGuard(_Handler())
                _take_standard_logging(self._undo, self.guard)
                _take_structlog(self._undo)
                _take_hooks(self._undo)
            if not behind_others or len(self._streams) == 1:
                logging.getLogger().setLevel(level)

    def put_back(self, stream: Stream) -> None:
        if self._streams == [stream]:
            self.output.close()
        else:
            self.output.flush()
        with self._lock:
            if self._streams == [stream]:
                self._undo.close()
            self._streams.remove(stream)
            del self._levels[id(stream)]
            if self._streams:
                logging.getLogger().setLevel(self._levels[id(self._streams[-1])])

    def after_fork_in_child(self) -> None:
        self._lock = threading.Lock()
        self.output.after_fork_in_child()


def tell_what_is_replaced() -> None:
    """Log that the root logger had handlers, which are out of use while the service runs."""
    if _process.guard.replaced:
        values = {"handlers": _process.guard.replaced, "hint": HINT}
        logging.getLogger("lmservice.logs").info("lmservice.logging_replaced", extra=values)


def share_output(lock: int) -> None:
    """Let this process's lines be whole where other processes write to the same output.

    Args:
        lock: the descriptor of a file that those processes have in common.
    """
    _process.output.lock = lock
    _process.output.forked = False  # a worker that is lives as long as one that is not


def leave_output() -> None:
    """Let a standard output that nobody reads any more not change the exit code of this process, which is to end."""
    _process.output.leave()


_process = _Process()  # logging itself is the process's, and standard output too
os.register_at_fork(
    before=_process.output.before_fork,
    after_in_parent=_process.output.after_fork_in_parent,
    after_in_child=_process.after_fork_in_child,
)


@contextlib.contextmanager
def configured(settings: Settings, name: str, version: str, **more: str) -> Iterator[Stream]:
    """Take over the process's logging; once every service has left, it is as it was.

    `more` is what every line says beside the usual fields.
    """
    fields = {
        "service": settings.service_name or name,
        "version": settings.version or version,
        "environment": settings.environment,
        "instance": settings.instance,
        **more,
    }
    console = settings.log_format == "console" or (settings.log_format == "auto" and on_a_terminal())
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


def _take_standard_logging(undo: contextlib.ExitStack, guard: StreamGuard) -> None:
    root = logging.getLogger()
    before, before_level = root.handlers[:], root.level
    root.handlers[:] = [guard.handler]
    guard.replaced = [type(handler).__name__ for handler in before]
    logging.captureWarnings(capture=True)
    unset = [logger for logger in map(logging.getLogger, QUIET) if logger.level == logging.NOTSET]
    quieten()
    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.addFilter(_told_better)
    undo.callback(uvicorn.removeFilter, _told_better)

    def put_back() -> None:
        for logger in unset:
            logger.setLevel(logging.NOTSET)
        root.handlers[:] = before
        root.setLevel(before_level)
        logging.captureWarnings(capture=False)

    undo.callback(put_back)
    guard.begin(undo)
    when_imported("logging.config", lambda: guard.watch_config(undo), undo)


def _told_better(record: logging.LogRecord) -> bool:
    """Leave out what uvicorn says of an app that failed in mid-answer: its exception has been logged."""
    return not str(record.msg).startswith("ASGI callable returned without completing")


def _take_structlog(undo: contextlib.ExitStack) -> None:
    """Configure structlog, at once where it has been imported, else when it is: it costs every start a twentieth."""
    when_imported("structlog", lambda: _configure_structlog(undo), undo)


def _configure_structlog(undo: contextlib.ExitStack) -> None:
    import structlog  # noqa: PLC0415 - see _take_structlog

    def end(logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        level = {"exception": "error", "warn": "warning"}.get(method, method)
        name = str(event.pop("logger", getattr(logger, "name", "root")))
        _process.stream.write_masked(level, name, printable(masked_argument(event.pop("event", ""))), event)
        raise structlog.DropEvent

    positional = structlog.stdlib.PositionalArgumentsFormatter()

    def formatted(logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        if args := event.get("positional_args"):
            event = {**event, "positional_args": tuple(map(masked_argument, args))}
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
