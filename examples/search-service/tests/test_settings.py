from pathlib import Path

import pytest
from search_service.settings import SearchSettings

from lmservice.errors import SettingsError


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LM_DATABASE_URL", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_the_database_is_a_file_in_the_users_cache_folder(tmp_path: Path) -> None:
    expected = f"sqlite+aiosqlite:///{tmp_path}/.cache/search-service/timetable.db"
    assert SearchSettings.load().database_url == expected


def test_the_cache_folder_is_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", f"{tmp_path}/elsewhere")
    expected = f"sqlite+aiosqlite:///{tmp_path}/elsewhere/search-service/timetable.db"
    assert SearchSettings.load().database_url == expected


def test_a_relative_xdg_folder_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "elsewhere")
    assert SearchSettings.load().database_url.startswith(f"sqlite+aiosqlite:///{tmp_path}/.cache/")


def test_the_environment_names_another_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LM_DATABASE_URL", "sqlite+aiosqlite:////data/t.db")
    assert SearchSettings.load().database_url == "sqlite+aiosqlite:////data/t.db"


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+asyncpg"])
def test_postgresql_is_spoken_to_by_one_driver(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("LM_DATABASE_URL", f"{scheme}://me:secret@host:5433/search?sslmode=require")
    expected = "postgresql+asyncpg://me:secret@host:5433/search?sslmode=require"
    assert SearchSettings.load().database_url == expected


@pytest.mark.parametrize("url", ["localhost", "http://localhost", "redis://", "redis:/x"])
def test_what_is_no_redis_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("LM_REDIS_URL", url)
    with pytest.raises(SettingsError, match=r"LM_REDIS_URL.*redis://localhost"):
        SearchSettings.load()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "timetable.db",
        "mysql://host/db",
        "postgresql://host",
        "postgresql+psycopg://host/db",
        "sqlite+aiosqlite://",
        "sqlite+aiosqlite:///:memory:",
    ],
)
def test_what_is_no_database_that_can_be_used_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("LM_DATABASE_URL", url)
    with pytest.raises(SettingsError, match=r"LM_DATABASE_URL.*sqlite\+aiosqlite:///"):
        SearchSettings.load()
