"""What the tests of settings share: a class with a field of each shape, and ways to set variables and read problems."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, SecretStr

from lmservice import Settings
from lmservice.errors import SettingsError


class Own(Settings):
    greeting: str = "hello"
    names: list[str] = Field(default=[])
    numbers: tuple[int, ...] = ()
    flags: set[str] = Field(default=set())
    limits: dict[str, int] = Field(default={})
    token: SecretStr = SecretStr("")
    size: int | None = None


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in LM_SECRETS_DIR."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setenv("LM_SECRETS_DIR", str(folder))
    return folder


def put(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Sets variables, named without `LM_`."""
    for name, value in values.items():
        monkeypatch.setenv(f"LM_{name}", value)


def problems(settings: type[Settings] = Own, **given: Any) -> list[str]:
    """What is wrong with the settings."""
    with pytest.raises(SettingsError) as caught:
        settings.load(**given)
    return caught.value.problems


DEFAULTS: dict[str, Any] = {
    "environment": "dev",
    "host": "0.0.0.0",
    "port": 8081,
    "management_host": "::",
    "management_port": 8002,
    "management_hosts": (),
    "log_level": "INFO",
    "log_format": "auto",
    "access_log": True,
    "startup_timeout": 60,
    "drain_delay": 5,
    "drain_quiet": 1,
    "drain_delay_max": 15,
    "drain_timeout": 20,
    "idle_grace": 10,
    "cleanup_timeout": 5,
    "termination_grace_period": 60,
    "keep_alive_timeout": 100,
    "liveness_stall": 10,
    "http": "auto",
    "loop": "auto",
    "workers": 1,
    "request_timeout": 30,
    "max_body_size": 1048576,
    "max_concurrency": 1000,
    "concurrency": "fixed",
    "shed_first": (),
    "shed_last": (),
    "head_timeout": 10,
    "max_head_size": 65536,
    "max_headers": 100,
    "write_timeout": 60,
    "max_connection_age": 0,
    "log_client": True,
    "forwarded_headers": ("for", "proto"),
    "root_path": "",
    "graphite_url": "",
    "graphite_interval": 60,
    "graphite_tags": True,
    "allow_default_secrets": False,
}
"""The contract's default of each setting that has a plain one."""
