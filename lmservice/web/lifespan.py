"""The app's own lifespan, driven by the ASGI lifespan protocol.

An app that raises before it has taken `lifespan.startup` does not speak the protocol, and is served without
(https://asgi.readthedocs.io/en/latest/specs/lifespan.html); one that raises after, or answers `startup.failed`, has
failed to start. One that ends later by anything but a plain return, while it is needed, has died: what it held is gone.
"""

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from typing import Any

from starlette.types import ASGIApp

from lmservice.errors import StartError, innermost, one_line
from lmservice.web.mounted import warn_of_mounted_lifespans

_log = logging.getLogger("lmservice.lifespan")


class Lifespan:
    """Runs `app`'s lifespan in one task.

    Args:
        app: which speaks the protocol, or does not.
        state: what it may add to, and each request gets a copy of.
        on_died: told why it has ended after its start, and not because it was asked to.

    Attributes:
        died: set when it has ended after its start, and not because it was asked to.
    """

    def __init__(
        self, app: ASGIApp, state: MutableMapping[str, Any], on_died: Callable[[str], None] | None = None
    ) -> None:
        self._app, self._on_died = app, on_died
        self._state = state
        self._to_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._from_app: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._asked = False
        self._started = self._ending = False
        self._failure = ""
        self.died = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return once the app has started, or turned out not to speak the protocol.

        Raises:
            StartError: the app's start-up failed.
        """
        self._task = asyncio.create_task(self._run(), name="lifespan")
        answer = await self._ask("lifespan.startup")
        if answer["type"] == "lifespan.startup.complete":
            self._started = True
            warn_of_mounted_lifespans(self._app)
            return
        await self._end()
        if answer["type"] == "lifespan.startup.failed":
            raise StartError(f"the app's lifespan failed to start: {answer.get('message') or 'no reason given'}")

    async def stop(self) -> None:
        """Ask the app to shut down, where it has started, and wait for it; else cancel its start.

        Raises:
            RuntimeError: the app's shut-down failed, or the lifespan had died before.
        """
        if not self._started:
            await self._end()
            return
        if self.died.is_set():
            await self._end()
            raise RuntimeError(self._failure)
        self._ending = True
        answer = await self._ask("lifespan.shutdown")
        await self._end()
        if answer["type"].endswith(".failed"):
            raise RuntimeError(f"the app's lifespan failed to shut down: {answer.get('message') or 'no reason given'}")

    async def _ask(self, event: str) -> MutableMapping[str, Any]:
        self._to_app.put_nowait({"type": event})
        return await self._from_app.get()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        stage = "startup"
        try:
            await self._app(scope, self._receive, self._send)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            if self._started and not self._ending:
                self._die(one_line(innermost(error)), error)
            stage = "startup.failed" if self._asked else "unsupported"
            self._from_app.put_nowait({"type": f"lifespan.{stage}", "message": f"{type(error).__name__}: {error}"})
        else:
            self._from_app.put_nowait({"type": "lifespan.unsupported"})

    async def _receive(self) -> dict[str, str]:
        event = await self._to_app.get()
        self._asked = True
        return event

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if self._started and not self._ending and message["type"] == "lifespan.shutdown.failed":
            reason = str(message.get("message") or "no reason given")
            asyncio.get_running_loop().call_soon(self._die, reason)  # after the exception, which says more and follows
        self._from_app.put_nowait(message)

    def _die(self, failure: str, error: BaseException | None = None) -> None:
        if self.died.is_set() or self._ending:
            return
        self._failure = f"the app's lifespan ended while it was needed: {failure}"
        self.died.set()
        _log.error("lmservice.lifespan_died", exc_info=error, extra={"error": failure})
        if self._on_died is not None:
            self._on_died(self._failure)

    async def _end(self) -> None:
        self._ending = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
