"""What the search service can be told, beside what every service can."""

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from lmservice import Settings

SQLITE = "sqlite+aiosqlite"
POSTGRESQL = "postgresql+asyncpg"
ALLOWED = f"{SQLITE}:///PATH or postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
"""The databases that the service runs on."""


Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


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
    return URL.create(SQLITE, database=str(cache_folder() / "search-service" / "timetable.db")).render_as_string()


class SearchSettings(Settings):
    """The settings of the search service."""

    database_url: str = Field(
        default_factory=default_database_url,
        description=f"the database: {ALLOWED} (default: a file in the user's cache folder)",
    )
    database_pool_size: int = Field(5, ge=1, le=100, description="connections to the database, kept open")
    database_timeout: Seconds = Field(
        2, description="until PostgreSQL must be connected, a connection free, or a statement done"
    )
    redis_url: str = Field("", description="the cache of results: redis://host:6379/0; empty is none")
    redis_timeout: Seconds = Field(0.1, description="until the cache must have answered; it is done without else")
    cache_ttl: Seconds = Field(60, description="how long a result is kept in the cache")
    search_deadline: Seconds = Field(3, description="until a search is answered, or refused with 503")

    @field_validator("database_url")
    @classmethod
    def _usable(cls, value: str) -> str:
        try:
            url = make_url(value)
        except (ArgumentError, ValueError):
            url = URL.create("")
        if url.drivername == "postgresql":
            url = url.set(drivername=POSTGRESQL)
        if not (url.drivername == SQLITE and url.database not in (None, "", ":memory:")) and not (
            url.drivername == POSTGRESQL and url.database
        ):
            raise ValueError(f"must be the URL of a database that lasts: {ALLOWED}")
        return url.render_as_string(hide_password=False)

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: str) -> str:
        if value and not re.match(r"(rediss?|unix)://.", value):
            raise ValueError("must be the URL of a Redis, such as redis://localhost:6379/0, or empty")
        return value
