"""Run a service in several processes: the sockets first, then the supervisor, which starts the workers."""

import asyncio
from functools import partial

from lmservice.errors import ExitCode
from lmservice.server import process
from lmservice.server.binding import bound
from lmservice.service import Service
from lmservice.settings.model import Settings
from lmservice.telemetry import takeover
from lmservice.workers.connection_counts import ConnectionCounts
from lmservice.workers.memory import MemoryKills
from lmservice.workers.supervisor import Supervisor
from lmservice.workers.worker import Worker


def run(service: Service, settings: Settings, target: str) -> ExitCode:
    """Run a service in several processes to its end, in the main thread.

    Args:
        service: what the workers run.
        settings: theirs too.
        target: where they find it, `MODULE:SERVICE`.

    Raises:
        BindError: an address cannot be had; nothing has been started.
    """
    with (
        takeover.configured(settings, service.name, service.version) as stream,
        bound(settings, takes_requests=service.takes_requests) as (sock, management_sock),
    ):
        counts = ConnectionCounts.create(settings.workers)
        takeover.share_output(counts.descriptor)
        start = partial(Worker, target, listener=sock, counts=counts, kills=MemoryKills())
        supervisor = Supervisor(service, settings, stream, sock, start)
        code = process.serve(supervisor, sock, management_sock, asyncio.new_event_loop)
    takeover.leave_output()
    return code
