"""A service inside a test, what it logs, and time that passes at once.

- `running`: real sockets on free ports, the whole life from start-up jobs to clean-up;
- `captured_logs`: what is logged meanwhile, each event as a dictionary;
- `virtual_time`: an hour's waiting takes no time.
"""

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from pydantic import SecretStr
from pydantic_core import to_json

from lmservice.errors import StartError, UsageError
from lmservice.lifecycle import State, StopCause
from lmservice.runtime.virtual_time import jumping
from lmservice.server import children
from lmservice.server.binding import bound
from lmservice.server.instance import Instance
from lmservice.server.process import ManagedService, start_management
from lmservice.service import Service
from lmservice.settings.model import Settings
from lmservice.settings.variables import variable
from lmservice.telemetry import takeover
from lmservice.telemetry.logs import Stream
from lmservice.workers.connection_counts import ConnectionCounts
from lmservice.workers.process import Starter, new_supervisor


class Running:
    """A service that runs on the test's own event loop, or whose workers' supervisor does.

    Attributes:
        url: the service's base URL, without a slash at the end; '' where it takes no requests.
        management_url: the management listener's.
    """

    def __init__(self, instance: ManagedService, sock: socket.socket | None, management_sock: socket.socket) -> None:
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
async def running(service: Service, *, workers: int = 1, **settings: Any) -> AsyncIterator[Running]:
    """Run `service` on free ports of the loopback, ready when entered, stopped when left.

    `settings` stand above the environment: `running(service, drain_timeout=1)`.

    With `workers` above 1 that many processes serve, each of which imports the service's module for itself: what the
    test has changed in its own process they do not see.

    Raises:
        UsageError: the settings or the job graph cannot be used, or workers could not find the service, as it is not
            at the level of a module that can be imported.
        StartError: the service did not get ready.
    """
    arguments = {"host": "127.0.0.1", "port": 0, "management_host": "127.0.0.1", "management_port": 0, **settings}
    loaded = service.settings_class.load(**arguments, workers=workers)
    service.check(loaded)
    with (
        takeover.configured(loaded, service.name, service.version) as stream,
        bound(loaded, takes_requests=service.takes_requests) as (sock, management_sock),
        children.withheld(sock, management_sock, signals=False),
    ):
        instance = _new_instance(service, loaded, sock, stream, arguments)
        management = start_management(instance, management_sock)
        running_service = Running(instance, sock, management_sock)
        try:
            await running_service.wait_ready()
            yield running_service
        finally:
            await running_service.stop()
            await asyncio.to_thread(management.close)


def _new_instance(
    service: Service, settings: Settings, sock: socket.socket | None, stream: Stream, arguments: Mapping[str, Any]
) -> ManagedService:
    if settings.workers == 1:
        return Instance(service, settings, sock, stream)
    variables = {variable(type(settings), name): _as_variable(value) for name, value in arguments.items()}
    path = os.pathsep.join(entry or os.curdir for entry in sys.path)
    starter = Starter(_target(service), variables={**variables, "PYTHONPATH": path})
    return new_supervisor(service, settings, stream, sock, starter, ConnectionCounts.create(settings.workers))


def _as_variable(value: Any) -> str:
    """Return a setting as its environment variable has it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return value if isinstance(value, str) else to_json(value, fallback=str).decode()


def _target(service: Service) -> str:
    """Return where a process finds a service, `MODULE:SERVICE`.

    Raises:
        UsageError: it is at the level of no module.
    """
    for name, module in list(sys.modules.items()):
        for attribute, value in list(getattr(module, "__dict__", {}).items()):
            if value is service and name != "__main__":
                return f"{name}:{attribute}"
    raise UsageError(f"workers cannot import {service.name!r}: make it at the level of a module, not in a function")


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
