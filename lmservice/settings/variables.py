"""The names of the environment variables that settings are read from, and the names that only look like them."""

import os
import re
from collections.abc import Iterable
from typing import Any

from pydantic import AliasChoices
from pydantic_settings import BaseSettings

from lmservice.settings.nesting import Inner, inner_fields, takes_any

PREFIX = "LM_"
SECRETS_DIR = "LM_SECRETS_DIR"
_LINK = r"_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"


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


def fields_by_variable(cls: type[BaseSettings]) -> dict[str, Inner]:
    """Return every variable that a setting, or a field inside one, is read from, with that field."""
    settings: dict[str, Inner] = {}
    for name, field in cls.model_fields.items():
        for variable in variables(cls, name):
            settings[variable] = Inner(variable, name, field)
            settings |= {inner.variable: inner for inner in inner_fields(cls, variable, field)}
    return settings


def misspelt(cls: type[BaseSettings], among: Iterable[str] | None = None) -> dict[str, str]:
    """Find the `LM_` variables that no setting reads, each with the nearest right name or ''.

    What Kubernetes tells of a Service whose name begins with `lm` is none of them.

    Args:
        cls: the settings.
        among: the names of the variables to look at; default this process's environment.
    """
    ours = [name for name in (os.environ if among is None else among) if name.upper().startswith(PREFIX)]
    if not ours:
        return {}
    known = fields_by_variable(cls)
    fields = {name: inner.field for name, inner in known.items()}
    names = {*known, SECRETS_DIR}
    links = service_links(ours)
    unknown = sorted(
        name
        for name in ours
        if (upper := name.upper()) not in names and name not in links and not takes_any(cls, fields, upper)
    )
    if not unknown:
        return {}
    from difflib import get_close_matches  # noqa: PLC0415 - costs every start what few need

    return {name: next(iter(get_close_matches(name.upper(), names, n=1, cutoff=0.7)), "") for name in unknown}


def service_links(names: Iterable[str]) -> set[str]:
    """Find the variables by which Kubernetes tells of Services, each of which has one for its host.

    As https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables has it.
    """
    names = list(names)
    stems = [name.removesuffix("_SERVICE_HOST") for name in names if name.endswith("_SERVICE_HOST")]
    return {name for name in names for stem in stems if re.fullmatch(rf"{re.escape(stem)}{_LINK}", name)}


def linked_service(name: str, value: object) -> str:
    """Return the Service of which Kubernetes tells by a variable `…_PORT`; '' where it is not one of those."""
    linked = isinstance(value, str) and name.endswith("_PORT") and re.fullmatch(r"(tcp|udp|sctp)://\S+:\d+", value)
    return name.removesuffix("_PORT").lower().replace("_", "-") if linked else ""


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
