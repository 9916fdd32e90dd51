"""The clean-up: what a stop ends with, each part whatever the others do, within `LM_CLEANUP_TIMEOUT`."""

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from lmservice.jobs.startup import Startup
from lmservice.lifecycle import Lifecycle
from lmservice.settings.model import Settings
from lmservice.settings.stop_budget import CLIENTS_SECONDS, FLUSH_SECONDS, FLUSH_SECONDS_LEAST
from lmservice.telemetry.graphite import Graphite
from lmservice.web.lifespan import Lifespan

if TYPE_CHECKING:
    from lmservice.tracing.otel import OtelTracer

_log = logging.getLogger("lmservice.instance")


class CleanUp:
    """The app's own shut-down, the start-up jobs' clean-up in reverse, the clients, the last metrics and spans.

    The service's clients are closed after the jobs, which may have needed them to the end.

    Attributes:
        problems: what failed or was cut off, a line each.
    """

    def __init__(
        self,
        settings: Settings,
        lifecycle: Lifecycle,
        *,
        lifespan: Lifespan,
        clients: contextlib.AsyncExitStack,
        graphite: Graphite | None,
        tracer: "OtelTracer | None",
    ) -> None:
        self._limit = settings.cleanup_timeout
        self._lifecycle = lifecycle
        self._lifespan, self._clients = lifespan, clients
        self._graphite, self._tracer = graphite, tracer
        self.problems: list[str] = []

    async def run(self, startup: Startup | None) -> None:
        """Run all of it, in its order."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._stop_lifespan()
        if startup is not None:
            left = max(0.0, self._limit - (loop.time() - began))
            self.problems += await startup.clean_up(left, self._limit)
        await self._close_clients()
        left = 0.0 if self._lifecycle.forced else self._limit - (loop.time() - began)
        await flush(self._graphite, self._tracer, left)

    async def _stop_lifespan(self) -> None:
        try:
            async with asyncio.timeout(self._limit):
                await self._lifespan.stop()
        except TimeoutError:
            self.problems.append(f"the app's lifespan was cut off by LM_CLEANUP_TIMEOUT, {self._limit:g} s")
        except Exception as error:  # noqa: BLE001 - the rest of the clean-up goes on
            self.problems.append(str(error))
            if not self._lifespan.died.is_set():  # which was told when it happened
                _log.exception("the app's lifespan failed to shut down")

    async def _close_clients(self) -> None:
        try:
            async with asyncio.timeout(CLIENTS_SECONDS):
                await self._clients.aclose()
        except Exception as error:  # noqa: BLE001 - the end must be told whatever happens
            self.problems.append(f"the service's clients could not be closed: {type(error).__name__}: {error}")


async def flush(graphite: Graphite | None, tracer: "OtelTracer | None", left: float) -> None:
    """Send the last metrics and spans to whoever collects them, in what is `left` of the clean-up, in seconds."""
    limit = min(FLUSH_SECONDS, max(FLUSH_SECONDS_LEAST, left))
    async with asyncio.TaskGroup() as flushing:
        if graphite is not None:
            flushing.create_task(graphite.finish(limit))
        if tracer is not None:
            flushing.create_task(tracer.close(limit))
