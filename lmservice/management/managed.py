"""What the management listener asks of the service that runs."""

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
        """Whether the event loop turns."""

    @property
    def started(self) -> bool:
        """Whether the start-up jobs are done."""

    @property
    def ready(self) -> bool:
        """Whether requests should come."""

    def info(self) -> dict[str, str]:
        """Name, version and so on of what runs."""

    def progress(self) -> dict[str, Any]:
        """The start-up jobs, the checks and the periodic jobs."""

    async def registry(self) -> "CollectorRegistry":
        """What `/metrics` tells."""

    async def tasks(self) -> dict[str, Any]:
        """The stacks of every task and thread."""

    async def profile(self, request: ProfileRequest) -> Profile:
        """Where the thread of the service's event loop spends its time."""

    def observation(self) -> "Drawing":
        """What draws the pictures that the console shows."""
