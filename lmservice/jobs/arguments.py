"""What jobs and checks are registered with: names and numbers, refused where they make no sense."""

from typing import Any

from lmservice.errors import ServiceDefinitionError


def must_be_name(name: object, what: str) -> None:
    """Refuse a name that is no text; None is the function's own.

    Raises:
        ServiceDefinitionError: saying of which job or check.
    """
    if name is not None and not (isinstance(name, str) and name):
        raise ServiceDefinitionError(f"name= of a {what} is {name!r}: it must be a text that is not empty")


def must_be_positive(label: str, *, whole: bool = False, **numbers: Any) -> None:
    """Refuse what is no number above 0; None is where there is none.

    Args:
        label: of which job or check.
        whole: whether it must be a whole number; it is a number of seconds where not.
        numbers: by the names of the arguments.

    Raises:
        ServiceDefinitionError: naming the argument.
    """
    for name, number in numbers.items():
        if number is not None and not _positive(number, whole=whole):
            kind = "a whole number" if whole else "a number of seconds"
            raise ServiceDefinitionError(f"{name}= of {label} is {number!r}: it must be {kind}, more than 0")


def _positive(number: Any, *, whole: bool) -> bool:
    return isinstance(number, int if whole else int | float) and not isinstance(number, bool) and number > 0
