"""`lmservice run`: the service in the foreground, in one process or in several; and each of those several."""

import os
import signal
import sys
from collections.abc import Sequence

from lmservice.errors import ExitCode
from lmservice.server import reaper

# What serves is loaded only once signals are heeded, as a stop may come while a web framework is being imported.

_WAITS_FOR_NOBODY = {"drain_delay": 0, "drain_delay_max": 0, "drain_quiet": 0, "idle_grace": 0, "drain_timeout": 0.3}
"""Settings of a stop after which new code begins: an event stream that a browser holds open never ends by itself."""


def run(name: str, *, one_process: bool = False) -> ExitCode:
    """Run the service until it has stopped.

    Args:
        name: MODULE:SERVICE.
        one_process: as under `--reload`: `LM_WORKERS` does not count, and a stop waits for nobody but requests that are
            about to be answered.

    Raises:
        LmserviceError: it cannot start; the exit code is the error's.
    """
    heed_early_signals(ExitCode.CLEAN)
    reaper.stand_in_as_first()
    from lmservice.cli import target  # noqa: PLC0415
    from lmservice.server import process  # noqa: PLC0415

    inherited = _open_descriptors()
    service = target.load(name)
    settings = process.settings_of(service)
    if one_process and settings.workers > 1:
        print(f"lmservice: --reload runs one process: LM_WORKERS={settings.workers} is not heeded", file=sys.stderr)  # noqa: T201
    if one_process:
        return process.run(service, settings.model_copy(update=_WAITS_FOR_NOBODY))
    if settings.workers == 1:
        return process.run(service, settings)
    from lmservice.workers import process as processes  # noqa: PLC0415

    return processes.run(service, settings, name, inherited)


def heed_early_signals(code: ExitCode) -> None:
    """Have a signal that stops a service end the process with `code`, as nothing has begun yet."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda *_: os._exit(code))
    signal.signal(signal.SIGUSR1, lambda *_: None)  # there is nothing to tell yet


def worker(name: str, descriptors: Sequence[int]) -> ExitCode:
    """Run one worker of a service, which its supervisor has started with these descriptors."""
    from lmservice.server.signals import heed_none  # noqa: PLC0415

    heed_none()
    from lmservice.cli import target  # noqa: PLC0415
    from lmservice.server import process  # noqa: PLC0415
    from lmservice.workers import main  # noqa: PLC0415
    from lmservice.workers.descriptors import InheritedDescriptors  # noqa: PLC0415

    service = target.load(name)
    return main.run(service, process.settings_of(service), InheritedDescriptors(*descriptors))


def _open_descriptors() -> frozenset[int]:
    """Return the descriptors that are open; none where the system does not tell (macOS), which cannot have workers."""
    try:
        with os.scandir("/proc/self/fd") as entries:
            numbers = [int(entry.name) for entry in entries]
    except FileNotFoundError:
        return frozenset()
    return frozenset(number for number in numbers if os.path.lexists(f"/proc/self/fd/{number}"))
