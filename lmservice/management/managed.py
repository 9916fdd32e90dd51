"""The protocol by which the management listener asks the service that runs."""

import concurrent.futures
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from lmservice.lifecycle import Lifecycle
from lmservice.runtime.profiling import Profile, ProfileRequest
from lmservice.settings.model import Settings
from lmservice.telemetry.levels import Levels
from lmservice.telemetry.logs import Stream

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from lmservice.console.stream import Drawing


class Managed(Protocol):
    """What the endpoints ask of the service that runs; read from another thread, so from memory alone."""

    settings: Settings
    lifecycle: Lifecycle
    stream: Stream
    report: concurrent.futures.Future[Mapping[str, Any]]
    started_at: float
    levels: Levels

    @property
    def well(self) -> bool:
        """Return whether the event loop turns."""

    @property
    def started(self) -> bool:
        """Return whether the start-up jobs are done."""

    @property
    def ready(self) -> bool:
        """Return whether requests should come."""

    def info(self) -> dict[str, str]:
        """Return name, version and so on of what runs."""

    def progress(self) -> dict[str, Any]:
        """Return the start-up jobs, the checks and the periodic jobs."""

    async def registry(self) -> "CollectorRegistry":
        """Return what `/metrics` tells."""

    async def tasks(self) -> dict[str, Any]:
        """Return the stacks of every task and thread."""

    async def profile(self, request: ProfileRequest) -> Profile:
        """Return where the thread of the service's event loop spends its time."""

    def observation(self) -> "Drawing":
        """Return what draws the pictures that the console shows."""
