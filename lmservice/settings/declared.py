"""What a service declares before it has settings: a value, or a function of the settings that gives it at the start."""

from collections.abc import Callable, Iterable
from typing import Any

from lmservice.errors import ServiceDefinitionError, UsageError, one_line
from lmservice.settings.masking import masked


def value_of(declared: Any, settings: Any, label: str) -> Any:
    """Return a declared value; where it is a function, what that gives for the settings.

    Args:
        declared: the value, or a function of the settings.
        settings: those of the service.
        label: what is declared, as the beginning of a sentence: `every= of periodic job 'refresh'`.

    Raises:
        ServiceDefinitionError: the function raised, or gives a coroutine.
    """
    if not callable(declared):
        return declared
    function: Callable[[Any], Any] = declared
    try:
        value = function(settings)
    except Exception as error:  # noqa: BLE001 - it is the author's
        raise ServiceDefinitionError(f"{label} cannot be read from the settings: {_without_values(error)}") from None
    if hasattr(value, "__await__"):
        value.close()
        raise ServiceDefinitionError(f"{label} is read by a coroutine function: it must be a plain one")
    return value


def refuse_unreadable(readers: Iterable[Callable[[Any], object]], settings: Any) -> None:
    """Call each reader with the settings.

    Raises:
        ServiceDefinitionError: with what every one of them says that cannot be read or makes no sense, a line each.
    """
    problems = []
    for read in readers:
        try:
            read(settings)
        except UsageError as error:
            problems.append(str(error))
    if problems:
        raise ServiceDefinitionError("\n".join(problems))


def shown(value: Any) -> str:
    """Return a value as an error may show it: as `lmservice config` does, where it came from a setting."""
    return repr(masked("", value))


def _without_values(error: Exception) -> str:
    """Return an error in one line; of one that may repeat a setting's value, which can be a secret, the kind alone."""
    return one_line(error) if isinstance(error, AttributeError | NameError) else type(error).__name__
