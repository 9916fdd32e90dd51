"""One worker's process: forked, or started by the supervisor as `lmservice worker`, and by nobody else."""

import os
import signal
import socket
from functools import partial

from lmservice.errors import ExitCode
from lmservice.server import children
from lmservice.server.entrance import SharedListener
from lmservice.server.instance import Instance
from lmservice.server.process import leave_without_leftovers, loop_factory, run_loop
from lmservice.service import Service
from lmservice.settings.model import Settings
from lmservice.telemetry import takeover
from lmservice.workers.connection_counts import ConnectionCounts
from lmservice.workers.descriptors import NO_LISTENER, InheritedDescriptors
from lmservice.workers.memory import raise_own_score
from lmservice.workers.supervisor_link import SupervisorLink


def run(service: Service, settings: Settings, descriptors: InheritedDescriptors) -> ExitCode:
    """Run a service to its end, as one of several."""
    for descriptor in descriptors.open:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - as the standard library has it
    raise_own_score()
    takeover.share_output(descriptors.counts)
    sock = socket.socket(fileno=descriptors.listener) if descriptors.listener != NO_LISTENER else None
    shared = SharedListener(descriptors.worker, partial(ConnectionCounts(descriptors.counts).ahead, descriptors.worker))
    with takeover.configured(settings, service.name, service.version, worker=str(descriptors.worker)) as stream:
        instance = Instance(service, settings, sock, stream, shared)
        channel = socket.socket(fileno=descriptors.channel)
        link = SupervisorLink(instance, shared, channel)
        signal.signal(signal.SIGUSR1, lambda *_: instance.log_stacks())
        link.start()
        with children.withheld(sock, channel):
            code = run_loop(loop_factory(settings), instance)
        link.close()
    takeover.leave_output()
    leave_without_leftovers(code)
    return code
