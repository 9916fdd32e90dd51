"""How a command ends: its errors a line each on stderr, and the exit code that they have."""

import os
import sys
from collections.abc import Callable

from lmservice.errors import ExitCode, LmserviceError


def exit_code(command: Callable[[], int]) -> int:
    """Run a command; return its exit code, or that of the error that ended it, which is told on stderr."""
    try:
        code = command()
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.FINDINGS)
    except LmserviceError as error:
        for line in str(error).splitlines():
            print(f"lmservice: {line}", file=sys.stderr)  # noqa: T201 - the command line's voice
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(ExitCode.FORCED)
    return code
