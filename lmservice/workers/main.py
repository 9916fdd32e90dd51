"""One worker's process: `lmservice worker`, which the supervisor starts, and nobody else."""

import os
import signal
import socket
from functools import partial
from typing import NamedTuple

from lmservice.errors import ExitCode
from lmservice.server import children
from lmservice.server.entrance import SharedListener
from lmservice.server.instance import Instance
from lmservice.server.process import leave_without_leftovers, loop_factory, run_loop, settings_of
from lmservice.server.signals import STOPPING, heeded
from lmservice.service import Service
from lmservice.telemetry import takeover
from lmservice.workers.connection_counts import ConnectionCounts
from lmservice.workers.memory import raise_own_score
from lmservice.workers.supervisor_link import SupervisorLink

ORDERS = STOPPING
"""The signals that are the supervisor's to heed: it tells the workers."""
NO_LISTENER = 0
"""In the place of the listener's descriptor: the service takes no requests."""


class InheritedDescriptors(NamedTuple):
    """What a worker gets from its supervisor, the last three as descriptors.

    Attributes:
        worker: its number, from 1.
        listener: the service listener's socket, which it accepts from, or `NO_LISTENER`.
        channel: its end of the socket pair.
        counts: the file that has the workers' numbers of connections, and is locked while lines are written.
    """

    worker: int
    listener: int
    channel: int
    counts: int

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Return those that are open."""
        return tuple(descriptor for descriptor in self[1:] if descriptor != NO_LISTENER)

    @property
    def words(self) -> list[str]:
        """Return the same as words of a command."""
        return [str(each) for each in self]


def heed_no_signals() -> None:
    """Leave what stops a service to the supervisor, which a terminal or an init system may have told as well.

    By handlers, as a process started from here would inherit that they are ignored. They were blocked until now.
    """
    for number in heeded():
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ORDERS)


def run(service: Service, given: InheritedDescriptors) -> ExitCode:
    """Run a service to its end, as one of several."""
    for descriptor in given.descriptors:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - as the standard library has it
    raise_own_score()
    settings = settings_of(service)
    takeover.share_output(given.counts)
    sock = socket.socket(fileno=given.listener) if given.listener != NO_LISTENER else None
    shared = SharedListener(given.worker, partial(ConnectionCounts(given.counts).ahead, given.worker))
    with takeover.configured(settings, service.name, service.version, worker=str(given.worker)) as stream:
        instance = Instance(service, settings, sock, stream, shared)
        channel = socket.socket(fileno=given.channel)
        link = SupervisorLink(instance, shared, channel)
        signal.signal(signal.SIGUSR1, lambda *_: instance.log_stacks())
        link.start()
        with children.withheld(sock, channel):
            code = run_loop(loop_factory(settings), instance)
        link.close()
    takeover.leave_output()
    leave_without_leftovers(code)
    return code
