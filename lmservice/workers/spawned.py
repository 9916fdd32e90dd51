"""A worker's process that imports the program itself, as one does that cannot be forked."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Protocol

from lmservice.runtime.threads import run_in_thread
from lmservice.server.signals import STOPPING
from lmservice.workers.descriptors import InheritedDescriptors


class WorkerProcess(Protocol):
    """The process of a worker, however it was started."""

    @property
    def pid(self) -> int:
        """Return its id."""

    async def ended(self) -> int | None:
        """Wait for its end; return its exit code, less than 0 where a signal ended it, None where nobody knows."""

    def kill(self) -> None:
        """End it at once; nothing happens where it has ended."""


class SpawnedProcess:
    """A process that was started by a command of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Return its id."""
        return self._process.pid

    async def ended(self) -> int | None:
        """Wait for its end; return its exit code, less than 0 where a signal ended it."""
        return await run_in_thread(self._process.wait, name=f"worker process {self.pid}")

    def kill(self) -> None:
        """End it at once; nothing happens where it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()


def spawn(target: str, descriptors: InheritedDescriptors, variables: Mapping[str, str]) -> SpawnedProcess:
    """Start a worker, in which the signals that are not for it stay blocked until it can leave them alone.

    Args:
        target: the service, `MODULE:SERVICE`.
        descriptors: the worker's.
        variables: what its environment has beside this process's.

    Raises:
        OSError: the system has no process or memory left for it.
    """
    command = [sys.executable, "-P", "-m", "lmservice", "worker", target, *descriptors.words]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, stdin=subprocess.DEVNULL, pass_fds=descriptors.open, env={**os.environ, **variables}
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return SpawnedProcess(process)
