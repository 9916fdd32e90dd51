"""The sources of settings: the environment, `.env` in `dev`, the files of a mounted Secret."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
)
from pydantic_settings import SettingsError as SourceError

from lmservice.errors import SettingsError
from lmservice.settings.fields import is_sequence
from lmservice.settings.nesting import delimiter_of
from lmservice.settings.variables import SECRETS_DIR, variable

DEFAULT_SECRETS_DIR = "/run/secrets"


class _FriendlyDecoding:
    """Takes `a,b` for a list; leaves what is not JSON to the field's validation, which names every bad variable."""

    def decode_complex_value(self, field_name: str, field: FieldInfo | None, value: Any) -> Any:
        try:
            decoded = super().decode_complex_value(field_name, field, value)  # type: ignore[misc]
        except ValueError:
            decoded = value
        if decoded is None and field is not None and NoneType in get_args(field.annotation):
            return None
        if field is not None and is_sequence(field.annotation) and not isinstance(decoded, list):
            return [part.strip() for part in value.split(",") if part.strip()]
        return decoded


class _Environment(_FriendlyDecoding, EnvSettingsSource):
    pass


class _DotEnv(_FriendlyDecoding, DotEnvSettingsSource):
    pass


class _Secrets(_FriendlyDecoding, SecretsSettingsSource):
    """The files of a folder, those of nested settings among them, which pydantic-settings takes as variables alone."""

    def __call__(self) -> dict[str, Any]:
        """Read each file that has a setting's name."""
        values = super().__call__()
        if not (delimiter := delimiter_of(self.settings_cls)):
            return values
        files = [file for file in Path(str(self.secrets_dir)).iterdir() if delimiter in file.name.upper()]
        texts = {file.name: file.read_text().strip() for file in files if file.is_file()}
        return merged(read_variables(self.settings_cls, texts), values)


def read(cls: type[BaseSettings]) -> dict[str, dict[str, Any]]:
    """Read what each source says, highest first.

    Raises:
        SettingsError: a file cannot be read.
    """
    try:
        return {name: source() for name, source in sources(cls).items()}
    except (OSError, UnicodeError, SourceError) as error:
        field = re.search(r'field "(\w+)"', str(error))
        name = variable(cls, field[1]) if field else "a file"
        raise SettingsError([f"{name} in {SECRETS_DIR} cannot be read as text: mend or remove it"]) from None


def read_variables(cls: type[BaseSettings], variables: Mapping[str, str]) -> dict[str, Any]:
    """Read these variables as the environment would be read."""
    source = _Environment(cls)
    source.env_vars = {name if source.case_sensitive else name.lower(): value for name, value in variables.items()}
    return source()


def merged(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    """Return both, `high` above `low`, by each field of a nested setting."""
    both = {**low, **high}
    for name in low.keys() & high.keys():
        if isinstance(low[name], dict) and isinstance(high[name], dict):
            both[name] = merged(low[name], high[name])
    return both


def sources(cls: type[BaseSettings]) -> dict[str, PydanticBaseSettingsSource]:
    """Return the sources that count here by their names, highest first."""
    above: dict[str, PydanticBaseSettingsSource] = {"environment": _Environment(cls)}
    secrets = _secrets_dir()
    below = {"secrets": _Secrets(cls, secrets_dir=secrets)} if secrets else {}
    if Path(".env").is_file() and _environment_is_dev(cls, below):
        above[".env"] = _dot_env(cls)
    return {**above, **below}


def _environment_is_dev(cls: type[BaseSettings], below: Mapping[str, PydanticBaseSettingsSource]) -> bool:
    """Return whether `.env` is read: only in `dev`, and never because `.env` itself says so."""
    name = variable(cls, "environment")
    environment = next((value for key, value in os.environ.items() if key.upper() == name), None)
    if environment is None:
        values = [source()["environment"] for source in below.values() if "environment" in source()]
        environment = values[0] if values else str(cls.model_fields["environment"].default)
    of_dot_env = _dot_env(cls)().get("environment", environment)
    if environment == "dev" and of_dot_env != "dev":
        raise SettingsError(
            [f"{name}: .env says {of_dot_env!r}, but .env is read in dev alone: set it in the environment"]
        )
    return environment == "dev"


def _dot_env(cls: type[BaseSettings]) -> PydanticBaseSettingsSource:
    try:
        return _DotEnv(cls)
    except (OSError, UnicodeError) as error:
        raise SettingsError([f".env cannot be read: {error}: mend or remove it"]) from None


def _secrets_dir() -> str | None:
    folder = os.environ.get(SECRETS_DIR)
    if folder and not Path(folder).is_dir():
        raise SettingsError([f"{SECRETS_DIR}: {folder!r} is not a folder: make it, or unset {SECRETS_DIR}"])
    if folder:
        return folder
    return DEFAULT_SECRETS_DIR if Path(DEFAULT_SECRETS_DIR).is_dir() else None
