"""The URL of what a lock counts in, read from a setting that is named."""

from typing import Any

from lmservice.errors import ServiceDefinitionError


def url_of(settings: Any, name: str, lock: str) -> str:
    """Return the URL that a setting has.

    Args:
        settings: the service's.
        name: the setting's.
        lock: whose it is, for people.

    Raises:
        ServiceDefinitionError: there is no such setting, or it is empty.
    """
    if name not in type(settings).model_fields:
        raise ServiceDefinitionError(f"{lock} reads the setting {name!r}, which the service's Settings do not declare")
    value = getattr(settings, name)
    url = str(value.get_secret_value() if hasattr(value, "get_secret_value") else value or "")
    if not url:
        raise ServiceDefinitionError(f"{lock} needs a URL: set LM_{name.upper()}")
    return url
