"""Every error that users can see, and the exit code that it ends the process with."""

import re
from enum import IntEnum


class ExitCode(IntEnum):
    """How `lmservice run` ended. The middle values follow sysexits.h and the shell's 128 + signal."""

    CLEAN = 0
    FINDINGS = 1
    COMMAND_FAILED = 1
    USAGE = 2
    START_FAILED = 3
    UNCLEAN = 70
    FORCED = 130


LONGEST_LINE = 500
"""How many characters of any error people are shown."""
MASK = "********"
"""What stands for a secret."""
_PASSWORD = re.compile(
    r"(?P<user>[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#@:\[\]\"\\<>]*:)"
    r"(?![0-9]{1,5}[/?#])"  # which is a port
    r"(?:(?!://)(?:[^\s\"\\]|\\[^nrt]))+@"
)
"""The start of a URL that has a password; a backslash escapes, as in JSON."""


def one_line(error: BaseException) -> str:
    """Return an error's kind and message in one line without passwords, cut off where people would read no further."""
    kind, message = type(error).__name__, without_passwords(" ".join(str(error).split()))
    line = f"{kind}: {message}" if message else kind
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


def innermost(error: BaseException) -> BaseException:
    """Return the one exception of a group of one, which a task group makes of it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def without_passwords(text: str) -> str:
    """Return a text in which no URL shows its password: `postgresql://user:********@host`.

    What follows `scheme://` is a URL with a password (RFC 3986 §3.2.1) where a colon and, later in the same word, an
    `@` follow; a password that is not encoded as that RFC has it may have `@` and `/` in it, too.
    """
    if "@" not in text or "://" not in text:
        return text
    return _PASSWORD.sub(rf"\g<user>{MASK}@", text)


class LmserviceError(Exception):
    """The root of lmservice's errors: a message for people, one line for each problem, and an exit code."""

    exit_code = ExitCode.USAGE


class UsageError(LmserviceError):
    """Something was asked for that does not exist or cannot be done as asked."""


class ServiceDefinitionError(UsageError):
    """The service is declared wrongly: a job of the wrong kind, a cycle, two jobs of one name."""


class ClientDefinitionError(UsageError, ValueError):
    """An outbound client is declared wrongly: a base URL that is none, a policy's field past its limit."""


class RetryDefinitionError(UsageError, ValueError):
    """A retry is declared wrongly: on what it repeats is no exception's class, or a number makes no sense."""


class MissingExtraError(UsageError, ImportError):
    """What was asked for needs packages that an extra of lmservice brings, which the message names."""


class SettingsError(UsageError):
    """Settings that cannot be used; holds one line for each problem found.

    Attributes:
        problems: the lines, each of which names the variable, what is allowed and where the value came from.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class ProfileError(LmserviceError):
    """A profile cannot be had, now or as asked for.

    Attributes:
        status: the HTTP status that says so.
    """

    def __init__(self, message: str, status: int) -> None:
        self.status = status
        super().__init__(message)


class BindError(UsageError):
    """A listener's address cannot be had."""


class StartError(LmserviceError):
    """The service did not get ready: a start-up job or the app's lifespan failed, or time ran out."""

    exit_code = ExitCode.START_FAILED

    def __str__(self) -> str:
        return without_passwords(super().__str__())
