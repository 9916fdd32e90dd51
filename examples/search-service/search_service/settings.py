"""What the search service can be told, beside what every service can."""

import os
import re
from collections import Counter
from pathlib import Path
from typing import Annotated

import httpx
from pydantic import AfterValidator, Field, ValidationInfo, field_validator
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


def supplier_name(url: str) -> str:
    """Host and port of a supplier's base URL: what answers, metrics and messages call it."""
    return httpx.URL(url).netloc.decode("ascii")


def _supplier_url(value: str) -> str:
    """A base URL; what is wrong with it is said without repeating it, as it may hold a password."""
    try:
        url = httpx.URL(value.strip())
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("a supplier is the base URL of its API, as http://supplier:8081")
    if url.userinfo:
        raise ValueError("a supplier's URL holds no user and no password: these would be sent along, and logged")
    if url.query or url.fragment:
        raise ValueError("a supplier's URL ends with its path, without ? and #")
    return str(url).rstrip("/")


SupplierUrl = Annotated[str, AfterValidator(_supplier_url)]


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
    suppliers: tuple[SupplierUrl, ...] = Field(
        (), description="base URLs of other inventories that speak the same API, as a JSON list"
    )
    search_deadline: Seconds = Field(
        3, description="until a search is answered, with what there is by then; less than LM_REQUEST_TIMEOUT"
    )

    @field_validator("suppliers")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name, times in Counter(map(supplier_name, value)).items():
            if times > 1:
                raise ValueError(f"{name} is given {times} times: a supplier is known by its host and port, once each")
        return value

    @field_validator("search_deadline")
    @classmethod
    def _before_the_request_ends(cls, value: float, info: ValidationInfo) -> float:
        limit = info.data.get("request_timeout")
        if limit and value >= limit:
            raise ValueError(f"must be less than LM_REQUEST_TIMEOUT, {limit:g} s, which would cut the search off")
        return value

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
