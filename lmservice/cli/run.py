"""`lmservice run`: the service in the foreground, in one process or in several; and each of those several."""

import os
import signal
import sys
from collections.abc import Sequence

from lmservice.errors import ExitCode

# What serves is loaded only once signals are heeded, as a stop may come while a web framework is being imported.


def run(name: str, *, one_process: bool = False) -> ExitCode:
    """Run the service until it has stopped.

    Args:
        name: MODULE:SERVICE.
        one_process: `LM_WORKERS` does not count, as under `--reload`.

    Raises:
        LmserviceError: it cannot start; the exit code is the error's.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(ExitCode.CLEAN))  # nothing has begun yet
    signal.signal(signal.SIGUSR1, lambda *_: None)  # there is nothing to tell yet
    from lmservice.cli import target  # noqa: PLC0415
    from lmservice.server import process  # noqa: PLC0415

    service = target.load(name)
    settings = process.settings_of(service)
    if one_process and settings.workers > 1:
        print(f"lmservice: --reload runs one process: LM_WORKERS={settings.workers} is not heeded", file=sys.stderr)  # noqa: T201
    if one_process or settings.workers == 1:
        return process.run(service, settings)
    from lmservice.workers import process as processes  # noqa: PLC0415

    return processes.run(service, settings, name)


def worker(name: str, descriptors: Sequence[int]) -> ExitCode:
    """Run one worker of a service, which its supervisor has started with these descriptors."""
    from lmservice.workers import main  # noqa: PLC0415

    main.heed_no_signals()
    from lmservice.cli import target  # noqa: PLC0415

    return main.run(target.load(name), main.InheritedDescriptors(*descriptors))
