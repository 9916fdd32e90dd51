"""A service inside a test, what it logs, and time that passes at once.

- `running`: real sockets on free ports, the whole life from start-up jobs to clean-up;
- `captured_logs`: what is logged meanwhile, each event as a dictionary;
- `virtual_time`: an hour's waiting takes no time.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

from lmservice.errors import StartError
from lmservice.lifecycle import State, StopCause
from lmservice.runtime.virtual_time import jumping
from lmservice.server import children
from lmservice.server.binding import bound
from lmservice.server.instance import Instance
from lmservice.server.process import start_management
from lmservice.service import Service
from lmservice.telemetry import takeover


class Running:
    """A service that runs on the test's own event loop.

    Attributes:
        url: the service's base URL, without a slash at the end; '' where it takes no requests.
        management_url: the management listener's.
    """

    def __init__(self, instance: Instance, sock: socket.socket | None, management_sock: socket.socket) -> None:
        self.url = f"http://127.0.0.1:{sock.getsockname()[1]}" if sock is not None else ""
        self.management_url = f"http://127.0.0.1:{management_sock.getsockname()[1]}"
        self._instance = instance
        self._serving = asyncio.create_task(instance.serve(), name="lmservice")

    async def wait_ready(self) -> None:
        """Return once the service is ready.

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
    values = {"host": "127.0.0.1", "port": 0, "management_host": "127.0.0.1", "management_port": 0, **settings}
    loaded = service.settings_class.load(**values)
    service.check(loaded)
    with (
        takeover.configured(loaded, service.name, service.version) as stream,
        bound(loaded, takes_requests=service.takes_requests) as (sock, management_sock),
        children.withheld(sock, management_sock, signals=False),
    ):
        instance = Instance(service, loaded, sock, stream)
        management = start_management(instance, management_sock)
        running_service = Running(instance, sock, management_sock)
        try:
            await running_service.wait_ready()
            yield running_service
        finally:
            await running_service.stop()
            await asyncio.to_thread(management.close)


@contextlib.contextmanager
def captured_logs() -> Iterator[list[dict[str, Any]]]:
    """Collect what is logged, by services that run in this process and by code outside of them.

    Gives a list that grows: each event as the dictionary that its line of JSON would be, with `event`, `level`,
    `logger`, `timestamp`, the service's fields and the event's own; secrets are masked as in a line. structlog, the
    standard library's `logging`, warnings and access lines are all there, from `LM_LOG_LEVEL` up (`INFO` where no
    service runs). The lines are written to standard output all the same, as JSON.

    Limits: what other processes log (workers, `multiprocessing`) is not collected. A service that was entered before on
    a terminal, or with `log_format="console"`, writes for people, and its lines are left out: enter this first. An
    access line comes at the end of the event loop's turn, so shortly after the response.
    """
    events: list[dict[str, Any]] = []

    def collect(lines: bytes) -> None:
        for line in lines.splitlines():
            with contextlib.suppress(ValueError):  # it was written for people
                events.append(json.loads(line))

    with takeover.observed(collect):
        yield events


@contextlib.asynccontextmanager
async def virtual_time() -> AsyncIterator[None]:
    """Let time pass at once: where nothing is ready, the clock jumps to the next timer.

    The clock is that of the running event loop and `time.monotonic` on its thread, as lmservice and most code read it.
    It stands still between two jumps, so that `await asyncio.sleep(3600)` takes exactly 3600 seconds of it, and none of
    the test's.

    Limits: asyncio's own event loop, not uvloop's. No real sockets inside, nor `running`, as the clock does not wait
    for what comes over the network. Threads (plain functions as jobs or checks) are waited for 0.2 s before each jump.
    `time.time`, `datetime` and code that keeps the function itself (`from time import monotonic`) go by the real clock.
    A timer begun before, as of a test's own time-out, rings when the virtual clock gets there.

    Raises:
        UsageError: the loop is not asyncio's own, or lives in virtual time already.
    """
    with jumping(asyncio.get_running_loop()):
        yield
