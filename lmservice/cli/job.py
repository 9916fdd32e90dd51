"""`lmservice job`: one command of a service, run to its end."""

from collections.abc import Sequence

from lmservice.cli.project import service_of
from lmservice.cli.run import heed_early_signals
from lmservice.errors import ExitCode, UsageError
from lmservice.server import reaper


def job(words: Sequence[str]) -> ExitCode:
    """Run the command that the words name: `[MODULE:SERVICE] NAME [WORDS...]`.

    Raises:
        LmserviceError: it cannot start; the exit code is the error's.
    """
    named, rest = (words[0], words[1:]) if words and ":" in words[0] else (None, words)
    if not rest:
        raise UsageError("which command? usage: lmservice job MODULE:SERVICE NAME [WORDS...]")
    heed_early_signals(ExitCode.UNCLEAN)  # as the command has not run, and a Kubernetes Job must try again
    reaper.stand_in_as_first()
    from lmservice.cli import target  # noqa: PLC0415 - signals are heeded first
    from lmservice.server import command, process  # noqa: PLC0415

    service = target.load(service_of(named))
    return command.run(service, process.settings_of(service), rest[0], rest[1:])
