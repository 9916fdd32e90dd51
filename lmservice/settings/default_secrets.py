"""Secrets that everybody knows who can read the code: those whose default is in it."""

import re
from typing import Any

from pydantic.fields import FieldInfo

from lmservice.settings.masking import secret_name
from lmservice.settings.model import Settings, origin
from lmservice.settings.variables import variable

DEV = "dev"
"""The environment in which a default may stand for a secret."""


def default_secrets(settings: Settings) -> list[str]:
    """Return the variables of the secrets that are at their code's default; none in `dev`, or where that is allowed.

    An empty default is none, nor is one that is worked out anew in each process.
    """
    cls = type(settings)
    if not matters(settings):
        return []
    return [variable(cls, name) for name in guessable(cls) if origin(settings, name) == "default"]


def matters(settings: Settings) -> bool:
    """Return whether a default may not stand for a secret here."""
    return settings.environment != DEV and not settings.allow_default_secrets


def guessable(cls: type[Settings]) -> list[str]:
    """Return the settings that are secrets and have a default in the code."""
    fields = cls.model_fields.items()
    return [name for name, field in fields if not field.default_factory and _is_secret(name, field)]


def _is_secret(name: str, field: FieldInfo) -> bool:
    default: Any = field.default
    text = default.get_secret_value() if hasattr(default, "get_secret_value") else default
    if not isinstance(text, str | bytes) or not text:
        return False
    password = isinstance(text, str) and re.match(r"[a-z0-9+.-]+://[^/@\s]*:[^/@\s]+@", text)
    return secret_name(name) or "Secret" in str(field.annotation) or bool(password)
