"""Running a service inside a test: real sockets on free ports, the whole life from start-up jobs to clean-up."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

from lmservice.errors import StartError
from lmservice.lifecycle import State, StopCause
from lmservice.server.binding import bound
from lmservice.server.instance import Instance
from lmservice.server.process import start_management
from lmservice.service import Service
from lmservice.telemetry import logs


class Running:
    """A service that runs on the test's own event loop.

    Attributes:
        url: the service's base URL, without a slash at the end.
        management_url: the management listener's.
    """

    def __init__(self, instance: Instance, sock: socket.socket, management_sock: socket.socket) -> None:
        self.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        self.management_url = f"http://127.0.0.1:{management_sock.getsockname()[1]}"
        self._instance = instance
        self._serving = asyncio.create_task(instance.serve(), name="lmservice")

    async def wait_ready(self) -> None:
        """Return once requests are accepted.

        Raises:
            StartError: the service did not get ready.
        """
        while self._instance.lifecycle.state is not State.READY:
            if self._serving.done() or self._instance.lifecycle.draining:
                report = self._instance.report
                problems = report.result().get("problems") if report.done() else None
                raise StartError("; ".join(problems or ["the service was stopped before it was ready"]))
            await asyncio.sleep(0.002)

    async def stop(self) -> dict[str, Any]:
        """Stop the service as `/stop` does, and return the same report; may be called again."""
        self._instance.lifecycle.stop(StopCause("test"))
        await asyncio.shield(self._serving)
        return dict(self._instance.report.result())


@contextlib.asynccontextmanager
async def running(service: Service, **settings: Any) -> AsyncIterator[Running]:
    """Run `service` on free ports of the loopback, ready when entered, stopped when left.

    `settings` stand above the environment: `running(service, drain_timeout=1)`.

    Raises:
        UsageError: the settings or the job graph cannot be used.
        StartError: the service did not get ready.
    """
    given = {"host": "127.0.0.1", "port": 0, "management_host": "127.0.0.1", "management_port": 0, **settings}
    service.check()
    loaded = service.settings_class.load(**given)
    with logs.configured(loaded, service.name, service.version) as stream, bound(loaded) as (sock, management_sock):
        instance = Instance(service, loaded, sock, stream)
        management = start_management(instance, management_sock)
        running_service = Running(instance, sock, management_sock)
        try:
            await running_service.wait_ready()
            yield running_service
        finally:
            await running_service.stop()
            await asyncio.to_thread(management.close)
