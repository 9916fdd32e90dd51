"""Run a service in several processes: first what forks them, then the sockets, then the supervisor."""

import asyncio
import logging
import socket
from collections.abc import Mapping
from functools import partial
from importlib import import_module

from lmservice.errors import ExitCode
from lmservice.server import process
from lmservice.server.binding import bound
from lmservice.service import Service
from lmservice.settings.model import Settings
from lmservice.telemetry import takeover
from lmservice.telemetry.logs import Stream
from lmservice.workers import main
from lmservice.workers.connection_counts import ConnectionCounts
from lmservice.workers.descriptors import InheritedDescriptors
from lmservice.workers.forker import Forker, ForkerGoneError, start_forker
from lmservice.workers.memory import MemoryKills
from lmservice.workers.spawned import WorkerProcess, spawn
from lmservice.workers.supervisor import Supervisor
from lmservice.workers.worker import Worker

_log = logging.getLogger("lmservice.workers")


class Starter:
    """Starts the workers' processes: by a fork, or where that cannot be, by a command each.

    Args:
        target: where a command finds the service, `MODULE:SERVICE`.
        forker: forks; None where the program cannot be forked.
        variables: what the environment of a command has beside this process's.
    """

    def __init__(self, target: str, forker: Forker | None = None, variables: Mapping[str, str] | None = None) -> None:
        self._target, self._forker, self._variables = target, forker, variables or {}

    def __call__(self, descriptors: InheritedDescriptors) -> WorkerProcess:
        """Start a worker's process.

        Raises:
            OSError: the system has no process, memory or descriptor left for it.
        """
        if self._forker is not None:
            try:
                return self._forker.fork(descriptors)
            except ForkerGoneError:
                self.close()
                hint = "workers import the program themselves from now on, which takes longer and more memory"
                _log.error("lmservice.forker_ended", extra={"hint": hint})
        return spawn(self._target, descriptors, self._variables)

    def close(self) -> None:
        """Fork no more."""
        if self._forker is not None:
            self._forker.close()
        self._forker = None


def run(service: Service, settings: Settings, target: str, inherited: frozenset[int]) -> ExitCode:
    """Run a service in several processes to its end, in the main thread; or one of those, where this is it.

    Args:
        service: what the workers run.
        settings: theirs too.
        target: where they find it, `MODULE:SERVICE`, where they cannot be forked.
        inherited: the descriptors that were open before it was imported.

    Raises:
        BindError: an address cannot be had; nothing has been started.
    """
    import_module("lmservice.telemetry.registry")  # which each would import for itself soon after
    start = start_forker(inherited)
    if start.worker is not None:
        return main.run(service, settings, start.worker)
    starter = Starter(target, start.forker)
    try:
        code = _supervise(service, settings, starter, start.because)
    finally:
        starter.close()
    takeover.leave_output()
    return code


def new_supervisor(
    service: Service,
    settings: Settings,
    stream: Stream,
    sock: socket.socket | None,
    starter: Starter,
    counts: ConnectionCounts,
) -> Supervisor:
    """Return what runs the service in workers, none of which it has started yet.

    Args:
        service: what they run.
        settings: theirs.
        stream: where the supervisor logs.
        sock: the service's, bound; None where it takes no requests.
        starter: starts their processes.
        counts: their numbers of connections.
    """
    start = partial(Worker, starter, listener=sock, counts=counts, kills=MemoryKills())
    return Supervisor(service, settings, stream, sock, start)


def _supervise(service: Service, settings: Settings, starter: Starter, not_forked: tuple[str, ...]) -> ExitCode:
    with (
        takeover.configured(settings, service.name, service.version) as stream,
        bound(settings, takes_requests=service.takes_requests) as (sock, management_sock),
    ):
        if not_forked:
            hint = "start them in a start-up job, and the workers share their memory"
            _log.warning("lmservice.workers_not_forked", extra={"because": list(not_forked), "hint": hint})
        counts = ConnectionCounts.create(settings.workers)
        takeover.share_output(counts.descriptor)
        supervisor = new_supervisor(service, settings, stream, sock, starter, counts)
        return process.serve(supervisor, sock, management_sock, asyncio.new_event_loop)
