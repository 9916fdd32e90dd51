"""Log levels changed while the service runs, each of which reverts by itself."""

import asyncio
import logging
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lmservice import logs

_NAME = r"[A-Za-z0-9_.\-]{1,200}"


class Change(BaseModel):
    """What `PUT /loggers/{name}` takes: a level, and for how long, in seconds."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
    duration: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False, strict=True)] = 600


class Levels:
    """The changes in force; lives on the management listener's loop."""

    def __init__(self) -> None:
        self._changes: dict[str, tuple[int, asyncio.TimerHandle]] = {}

    def report(self) -> dict[str, dict[str, Any]]:
        """Every logger with its level, and when a change of it ends, in seconds from now."""
        now = asyncio.get_running_loop().time()
        report: dict[str, dict[str, Any]] = {name: dict(levels) for name, levels in logs.levels().items()}
        for name, (_, handle) in self._changes.items():
            report.setdefault(name, {})["reverts_in"] = round(max(0.0, handle.when() - now), 3)
        return report

    def change(self, name: str, body: bytes) -> dict[str, Any]:
        """Changes a logger's level for a while; a further change keeps the level to which it reverts.

        Raises:
            ValueError: saying what of the name or the body is not as it must be.
        """
        if not re.fullmatch(_NAME, name):
            raise ValueError("a logger's name is 1 to 200 letters, digits, '_', '.', '-'")
        try:
            change = Change.model_validate_json(body)
        except ValidationError as error:
            raise ValueError("; ".join(_said(dict(entry)) for entry in error.errors())) from None
        logger = logging.getLogger(None if name == "root" else name)
        before = self._changes[name][0] if name in self._changes else logger.level
        if name in self._changes:
            self._changes[name][1].cancel()
        handle = asyncio.get_running_loop().call_later(change.duration, self.revert, name)
        self._changes[name] = before, handle
        logger.setLevel(change.level)
        return {"name": name, "level": change.level, "duration": change.duration}

    def revert(self, name: str) -> None:
        """Gives a logger back the level that it had before it was changed."""
        before, handle = self._changes.pop(name)
        handle.cancel()
        logging.getLogger(None if name == "root" else name).setLevel(before)

    def revert_all(self) -> None:
        """Ends every change."""
        for name in list(self._changes):
            self.revert(name)


def _said(entry: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in entry["loc"])
    return f"{where}: {entry['msg']}" if where else str(entry["msg"])
