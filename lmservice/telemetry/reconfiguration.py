"""What configures logging anew while a service has it: its stream stays, and says once that somebody tried.

Alembic's env.py calls `fileConfig`, other code `dictConfig` or `basicConfig(force=True)`; each takes the root logger's
handlers away, and the first two disable all loggers that they do not name. What they set beside that stays: levels of
named loggers, and handlers that write elsewhere than to standard output and error.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

HINT = "configure logging by LM_LOG_LEVEL and PUT /loggers; in Alembic's env.py leave out fileConfig"
QUIET = ("uvicorn.error", "asyncio", "httpx", "alembic.runtime.plugins")
"""The loggers that tell at INFO what every start or call repeats: their level is WARNING, unless one is set."""

_log = logging.getLogger("lmservice.logs")


class StreamGuard:
    """Keeps one handler at the root logger.

    Args:
        handler: brings all records into the stream.

    Attributes:
        has_told: whether it has said that somebody tried.
        replaced: the classes of the handlers that the root logger had before.
    """

    def __init__(self, handler: logging.Handler) -> None:
        self.handler = handler
        self.has_told = self._busy = False
        self.replaced: list[str] = []

    def begin(self, undo: contextlib.ExitStack) -> None:
        """Watch over the root logger, whose handlers are set; as it was when `undo` is closed."""
        root = logging.getLogger()
        kind = type(root)
        guarded = type(kind.__name__, (kind,), {**_methods(self), "__module__": kind.__module__})
        root.__class__ = guarded

        def leave() -> None:
            root.__class__ = kind

        undo.callback(leave)

    def watch_config(self, undo: contextlib.ExitStack) -> None:
        """Watch over `logging.config`, which has been imported."""
        config: Any = sys.modules["logging.config"]
        install, configure = config._install_loggers, config.DictConfigurator.configure  # noqa: SLF001 - fileConfig's end

        def install_loggers(*args: Any, **kwargs: Any) -> Any:
            with self.kept("logging.config.fileConfig"):
                return install(*args, **kwargs)

        def configure_all(configurator: Any) -> Any:
            if configurator.config.get("incremental"):  # which changes levels alone
                return configure(configurator)
            with self.kept("logging.config.dictConfig"):
                return configure(configurator)

        config._install_loggers, config.DictConfigurator.configure = install_loggers, configure_all  # noqa: SLF001

        def leave() -> None:
            config._install_loggers, config.DictConfigurator.configure = install, configure  # noqa: SLF001

        undo.callback(leave)

    @contextlib.contextmanager
    def kept(self, by: str) -> Iterator[None]:
        """Let something configure logging, and take the root logger back."""
        disabled = {logger for logger in _loggers() if logger.disabled}
        root = logging.getLogger()
        level = root.level
        self._busy = True
        try:
            yield
        finally:
            others = [
                handler for handler in root.handlers if handler is not self.handler and not _on_the_console(handler)
            ]
            root.handlers[:] = [self.handler, *others]
            self._busy = False
            root.setLevel(level)
            for logger in _loggers():
                logger.disabled = logger in disabled
                if any(map(_on_the_console, logger.handlers)):
                    logger.handlers[:] = [handler for handler in logger.handlers if not _on_the_console(handler)]
                    logger.propagate = True
            quieten()
            self.tell(by)

    def refuses(self, handler: logging.Handler) -> bool:
        """Return whether the root logger keeps a handler that somebody takes away."""
        if handler is not self.handler or self._busy:
            return False
        self.tell("Logger.removeHandler, as basicConfig(force=True) calls it")
        return True

    def misses(self, handlers: list[logging.Handler]) -> bool:
        """Return whether somebody has taken the handler away from the root logger's list itself."""
        return self.handler not in handlers and not self._busy

    def tell(self, by: str) -> None:
        """Say that the stream stays, the first time."""
        if self.has_told:
            return
        self.has_told = True
        _log.warning("lmservice.logging_kept", extra={"by": by, "place": _place(), "hint": HINT})


def quieten() -> None:
    """Set the level of loggers that say too much, unless they have one."""
    for name in QUIET:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)


def _methods(guard: StreamGuard) -> dict[str, Any]:
    def remove(logger: logging.Logger, handler: logging.Handler) -> None:
        if not guard.refuses(handler):
            logging.Logger.removeHandler(logger, handler)

    def add(logger: logging.Logger, handler: logging.Handler) -> None:
        if not (guard.has_told and _on_the_console(handler)):  # all is on the console already
            logging.Logger.addHandler(logger, handler)

    def handlers(logger: logging.Logger) -> list[logging.Handler]:
        kept: list[logging.Handler] = vars(logger)["handlers"]
        if guard.misses(kept):
            kept.insert(0, guard.handler)
            guard.tell("Logger.handlers, which was set or cleared")
        return kept

    def set_handlers(logger: logging.Logger, handlers: list[logging.Handler]) -> None:
        vars(logger)["handlers"] = handlers

    return {"removeHandler": remove, "addHandler": add, "handlers": property(handlers, set_handlers)}


def _loggers() -> list[logging.Logger]:
    return [logger for logger in list(logging.root.manager.loggerDict.values()) if isinstance(logger, logging.Logger)]


def _on_the_console(handler: logging.Handler) -> bool:
    """Return whether a handler writes to standard output or error, where every line is in one form."""
    streams = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return isinstance(handler, logging.StreamHandler) and handler.stream is not None and handler.stream in streams


def _place() -> str:
    """Return the line of code that configures logging: the first that is no library's of logging, nor ours."""
    frame = sys._getframe(1)  # noqa: SLF001 - names it
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in _OURS:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


_OURS = ("logging", "lmservice", "contextlib")
