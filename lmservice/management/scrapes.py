"""`GET /metrics`: one rendering at a time, which those who ask alike meanwhile share."""

import asyncio
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from lmservice.management.managed import Managed
from lmservice.management.responses import Chunks, accepts_gzip
from lmservice.runtime.threads import run_in_thread
from lmservice.telemetry.exposition import content_type, render


class Scrapes:
    """The renderings under way of one instance's metrics."""

    def __init__(self, instance: Managed) -> None:
        self._instance = instance
        self._renderings: dict[tuple[str, bool], asyncio.Task[tuple[list[bytes], str]]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def answer(self, request: Request) -> Response:
        """Return the metrics in the format, and the encoding, that the request accepts."""
        accept, packed = request.headers.get("accept", ""), accepts_gzip(request.headers.get("accept-encoding", ""))
        kind = await run_in_thread(partial(content_type, accept), name="exposition")  # which may import much
        chunks, kind = await asyncio.shield(self._rendering(accept, kind, packed=packed))
        headers = {"vary": "accept, accept-encoding", "content-type": kind}
        return Chunks(chunks, headers | ({"content-encoding": "gzip"} if packed else {}))

    def _rendering(self, accept: str, kind: str, *, packed: bool) -> asyncio.Task[tuple[list[bytes], str]]:
        """Return the rendering under way that gives the same, or begin a new one."""
        task = self._renderings.get((kind, packed))
        if task is None:
            task = asyncio.create_task(self._render(accept, packed=packed), name="exposition")
            self._renderings[kind, packed] = task
            task.add_done_callback(lambda _: self._renderings.pop((kind, packed)))
        return task

    async def _render(self, accept: str, *, packed: bool) -> tuple[list[bytes], str]:
        async with self._one_at_a_time:
            registry = await self._instance.registry()
            return await run_in_thread(partial(render, registry, accept, packed=packed), name="exposition")
