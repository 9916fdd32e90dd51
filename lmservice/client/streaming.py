"""Answers that are read as they come: each has its connection until it is closed, and one that never is gets told."""

import asyncio
import logging
import weakref
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import Any

import httpx

from lmservice.client.call import Call

_log = logging.getLogger("lmservice.client")


class Streams:
    """The answers of one client that are being read."""

    def __init__(self) -> None:
        self._open: set[Streaming] = set()

    def begin(self, make: Callable[[], Call], place: str) -> "Streaming":
        """Return a context in which an answer can be read; `place` is where in the code it is asked for."""
        return Streaming(make, place, self._open)

    def tell_open_ones(self) -> None:
        """Tell of those that are still open: the client is closed before whoever reads them is done."""
        for streaming in list(self._open):
            streaming.tell("the client was closed while the answer was open")


class Streaming(AbstractAsyncContextManager[httpx.Response]):
    """One answer, from its head to the end of the `async with`."""

    def __init__(self, make: Callable[[], Call], place: str, open_ones: "set[Streaming]") -> None:
        self._make, self._place, self._open = make, place, open_ones
        self._call: Call | None = None
        self._lost: Callable[[], Any] | None = None

    async def __aenter__(self) -> httpx.Response:
        call = self._make()
        response = await call.answer()
        self._call = call
        self._open.add(self)
        # the answer itself may be kept by nobody but its own body, which refers to it: what lies below that can be
        # closed without keeping it alive
        body = getattr(response.stream, "_stream", None)
        lost = weakref.finalize(response, self._collected, asyncio.get_running_loop(), body)
        lost.atexit = False
        self._response, self._lost = weakref.ref(response), lost.detach
        return response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._call is None or self._lost is None:
            return
        self._lost()
        self._open.discard(self)
        response = self._response()
        if response is not None:
            await self._call.close(response)

    def tell(self, why: str) -> None:
        """Tell that the answer was not closed, and by which line of code it was asked for."""
        if self._call is not None and self in self._open:
            self._open.discard(self)
            _log.warning(
                "lmservice.client_stream_leaked", extra={**self._call.about, "place": self._place, "error": why}
            )

    def _collected(self, loop: asyncio.AbstractEventLoop, body: Any) -> None:
        """Give the connection back; may be called on any thread, by the garbage collector."""
        self.tell("the answer was never closed: read it within 'async with client.stream(...)'")
        with suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(self._close, body)

    def _close(self, body: Any) -> None:
        if self._call is not None:
            self._call.give_back_place()
        if body is not None:
            task = asyncio.ensure_future(body.aclose())
            _closing.add(task)
            task.add_done_callback(_closing.discard)


_closing: set[asyncio.Future[None]] = set()  # else nobody would keep them alive
