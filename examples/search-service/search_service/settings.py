"""What the search service can be told, beside what every service can."""

import os
from pathlib import Path

from pydantic import Field, field_validator
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from lmservice import Settings

DRIVERS = ("sqlite+aiosqlite",)
"""The database drivers that the service runs on."""


def cache_folder() -> Path:
    """The user's cache folder, by the XDG base directory specification.

    Its variable counts only where it is absolute (https://specifications.freedesktop.org/basedir-spec/latest/). A user
    without a home gets a path that cannot be made, which the start then says.
    """
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if configured.is_absolute():
        return configured
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        return Path("/nonexistent/.cache")


def default_database_url() -> str:
    """An SQLite file in the user's cache folder."""
    return URL.create(DRIVERS[0], database=str(cache_folder() / "search-service" / "timetable.db")).render_as_string()


class SearchSettings(Settings):
    """The settings of the search service."""

    database_url: str = Field(
        default_factory=default_database_url,
        description="the database: sqlite+aiosqlite:////absolute/path (default: a file in the user's cache folder)",
    )

    @field_validator("database_url")
    @classmethod
    def _usable(cls, value: str) -> str:
        try:
            url = make_url(value)
        except (ArgumentError, ValueError):
            url = URL.create("")
        if url.drivername not in DRIVERS or url.database in (None, "", ":memory:"):
            allowed = " or ".join(f"{name}:///PATH" for name in DRIVERS)
            raise ValueError(f"must be the URL of a database that lasts: {allowed}")
        return value
