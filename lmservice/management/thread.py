"""The management listener's thread, with an event loop of its own: it answers while the service's loop cannot."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable

from lmservice.management.endpoints import Endpoints
from lmservice.management.managed import Managed
from lmservice.settings.stop_budget import GOODBYE_SECONDS
from lmservice.telemetry.logs import current_stream
from lmservice.web.listener import Listener
from lmservice.web.patience import Limits

WATCH_INTERVAL = 0.5
"""The time between two looks at the service's loop, in seconds."""
KEEP_ALIVE = 100.0
"""The time that an idle connection is kept, in seconds."""


class ManagementThread:
    """Serves the endpoints from `start` to `close`.

    Args:
        watch: called every half second, on the thread.
    """

    def __init__(self, instance: Managed, sock: socket.socket, watch: Callable[[], None]) -> None:
        self._instance = instance
        self._sock = sock
        self._watch = watch
        self._accepting = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="management", daemon=True)
        self._error: BaseException | None = None

    def start(self) -> None:
        """Return once the listener accepts.

        Raises:
            OSError: another process has begun to listen on the same port.
        """
        self._thread.start()
        self._accepting.wait()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Finish the answers under way, then end the thread."""
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(timeout=GOODBYE_SECONDS)

    def _run(self) -> None:
        current_stream.set(self._instance.stream)
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 - raised by start
            self._error = error
        finally:
            self._accepting.set()
            self._loop.close()

    async def _serve(self) -> None:
        endpoints = Endpoints(self._instance)
        listener = Listener(endpoints, self._sock, limits=Limits(KEEP_ALIVE), state={}, websockets=False, any_host=True)
        await listener.start()
        self._accepting.set()
        self._look(listener)
        await self._closing.wait()
        endpoints.close()
        await self._say_goodbye(listener)

    def _look(self, listener: Listener) -> None:
        """Look after the listener, by a timer rather than a task that waits: a hundred idle instances share a node."""
        if self._closing.is_set():
            return
        self._loop.call_later(WATCH_INTERVAL, self._look, listener)
        self._watch()
        listener.sweep()
        output = self._instance.stream.output
        if output.behind:
            output.flush()

    async def _say_goodbye(self, listener: Listener) -> None:
        deadline = self._loop.time() + GOODBYE_SECONDS
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(listener.refuse(), GOODBYE_SECONDS / 2)
        while listener.open and self._loop.time() < deadline:
            listener.close_idle(0)
            await asyncio.sleep(0.01)
        await listener.close()
