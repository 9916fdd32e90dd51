"""Log levels changed while the service runs, each of which reverts by itself."""

import asyncio
import json
import logging
import re
import time
from typing import Any

_NAME = r"[A-Za-z0-9_.\-]{1,200}"


LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
DEFAULT_DURATION = 600.0
LONGEST_DURATION = 86_400.0


def read_change(body: bytes) -> tuple[str, float]:
    """Return the level, and for how long, in seconds, that the body of `PUT /loggers/{name}` asks for.

    Raises:
        ValueError: saying all that is not as it must be.
    """
    try:
        change = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the body is no JSON: {error}") from None
    if not isinstance(change, dict):
        raise ValueError('the body must be an object, as {"level": "DEBUG", "duration": 600}')  # noqa: TRY004
    level, duration = change.get("level"), change.get("duration", DEFAULT_DURATION)
    wrong = [f"{key}: is not known here" for key in change if key not in ("level", "duration")]
    if level not in LEVELS:
        wrong.append(f"level: must be one of {', '.join(LEVELS)}")
    number = isinstance(duration, int | float) and not isinstance(duration, bool)
    if not (number and 0 < duration <= LONGEST_DURATION):
        wrong.append(f"duration: must be a number of seconds, more than 0 and at most {LONGEST_DURATION:g}")
    if wrong:
        raise ValueError("; ".join(wrong))
    return str(level), float(duration)


class Levels:
    """The changes in force; lives on the management listener's loop."""

    def __init__(self) -> None:
        self._changes: dict[str, tuple[int, asyncio.TimerHandle]] = {}

    def report(self) -> dict[str, dict[str, Any]]:
        """Return every logger with its level, and when a change of it ends, in seconds from now."""
        now = asyncio.get_running_loop().time()
        report: dict[str, dict[str, Any]] = {name: dict(level) for name, level in levels().items()}
        for name, (_, handle) in self._changes.items():
            report.setdefault(name, {})["reverts_in"] = round(max(0.0, handle.when() - now), 3)
        return report

    async def report_of_all(self) -> dict[str, dict[str, Any]]:
        """Return the report for `/loggers`: of all workers where there are several."""
        return self.report()

    async def set_everywhere(self, name: str, body: bytes) -> dict[str, Any]:
        """Change a logger's level for a while, in all workers where there are several.

        Raises:
            ValueError: as `change` does.
        """
        return self.change(name, body)

    def change(self, name: str, body: bytes) -> dict[str, Any]:
        """Change a logger's level for a while; a further change keeps the level to which it reverts.

        Raises:
            ValueError: saying what of the name or the body is not as it must be.
        """
        if not re.fullmatch(_NAME, name):
            raise ValueError("a logger's name is 1 to 200 letters, digits, '_', '.', '-'")
        level, duration = read_change(body)
        logger = _logger(name)
        before = self._changes[name][0] if name in self._changes else logger.level
        if name in self._changes:
            self._changes[name][1].cancel()
        handle = asyncio.get_running_loop().call_later(duration, self.revert, name)
        self._changes[name] = before, handle
        logger.setLevel(level)
        return {"name": name, "level": level, "duration": duration}

    def active_changes(self) -> dict[str, dict[str, Any]]:
        """Return the changes that would make another process's levels the same."""
        now = time.monotonic()
        return {
            name: {"level": logging.getLevelName(_logger(name).level), "duration": max(0.001, handle.when() - now)}
            for name, (_, handle) in list(self._changes.items())
        }

    def revert(self, name: str) -> None:
        """Give a logger back the level that it had before it was changed."""
        before, handle = self._changes.pop(name)
        handle.cancel()
        _logger(name).setLevel(before)

    def revert_all(self) -> None:
        """End every change."""
        for name in list(self._changes):
            self.revert(name)


def _logger(name: str) -> logging.Logger:
    return logging.getLogger(None if name == "root" else name)


def levels() -> dict[str, dict[str, str | None]]:
    """Return each logger's own level (None: its parent's) and the one in effect."""
    known = sorted(logging.root.manager.loggerDict.items())
    loggers = {name: logger for name, logger in known if isinstance(logger, logging.Logger)}
    return {
        name: {
            "level": logging.getLevelName(logger.level) if logger.level else None,
            "effective": logging.getLevelName(logger.getEffectiveLevel()),
        }
        for name, logger in {"root": logging.getLogger(), **loggers}.items()
    }
