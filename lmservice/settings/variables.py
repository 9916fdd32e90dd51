"""The names of the environment variables that settings are read from, and the names that only look like them."""

import os
from collections.abc import Iterable
from typing import Any

from pydantic import AliasChoices
from pydantic_settings import BaseSettings

PREFIX = "LM_"
SECRETS_DIR = "LM_SECRETS_DIR"


def variable(cls: type[BaseSettings], name: str) -> str:
    """Return the environment variable of a setting: the one that is set, where it has several."""
    names = variables(cls, name)
    if len(names) == 1:
        return names[0]
    present = {name.upper() for name in os.environ}
    return next((name for name in names if name in present), names[0])


def variables(cls: type[BaseSettings], name: str) -> list[str]:
    """Return every environment variable that a setting is read from; mostly there is one."""
    return [alias.upper() for alias in _aliases(cls, name)] or [f"{PREFIX}{name.upper()}"]


def misspelt(cls: type[BaseSettings], among: Iterable[str] | None = None) -> dict[str, str]:
    """Find the `LM_` variables that no setting reads, each with the nearest right name or ''.

    Args:
        cls: the settings.
        among: the names of the variables to look at; default this process's environment.
    """
    given = [name for name in (os.environ if among is None else among) if name.upper().startswith(PREFIX)]
    if not given:
        return {}
    known = {SECRETS_DIR}
    for name in cls.model_fields:
        known.update(variables(cls, name))
    unknown = sorted(name for name in given if name.upper() not in known)
    if not unknown:
        return {}
    from difflib import get_close_matches  # noqa: PLC0415 - costs every start what few need

    return {name: next(iter(get_close_matches(name.upper(), known, n=1, cutoff=0.7)), "") for name in unknown}


def field_names(cls: type[BaseSettings]) -> dict[str, str]:
    """Return each field's name by every name that a source may give it, in small letters."""
    return {alias.lower(): name for name in cls.model_fields for alias in (name, *_aliases(cls, name))}


def origins(cls: type[BaseSettings], sources: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return for each field that a source gives a value the source that wins, of `sources` in falling order."""
    fields = field_names(cls)
    rising = list(reversed(sources.items()))
    return {fields.get(name.lower(), name): source for source, values in rising for name in values}


def _aliases(cls: type[BaseSettings], name: str) -> list[str]:
    alias = cls.model_fields[name].validation_alias if name in cls.model_fields else None
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return [choice for choice in choices if isinstance(choice, str)]
