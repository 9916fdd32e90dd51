"""`GET /events`: what the console and `lmservice top` show, as server-sent events.

One picture a second is drawn for all observers together, and none while there is nobody. An observer that reads slowly
misses pictures, and holds up nobody. The events, each with a JSON object as its data:

- `hello`: the first: `info` as `/info` has it, `allowed` (whether the peer is in `LM_MANAGEMENT_ALLOW`), `history`,
  a list of the `traffic` and `event_loop` of the last pictures, with the moment `at` of each;
- `picture`: as `lmservice.console.picture` draws it, and of several workers `lmservice.workers.picture`;
- `end`: the last, as the process ends: `state`, and the `report` of `/stop`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from typing import Any, Protocol

from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lmservice.console.picture import without_private
from lmservice.lifecycle import Lifecycle

MOST = 16
"""The number of observers at once."""
INTERVAL = 1.0
"""The time between two pictures, in seconds; a new state is shown at once."""
LOOK = 0.1
"""The time between two looks for a new state, in seconds."""
HISTORY = 180
"""The number of pictures that are remembered for those who come later, while somebody watches."""
MOST_REMEMBERED = 12
"""The number of routes that are remembered."""
PATIENCE = 10.0
"""The time that an observer may take to read one picture, in seconds."""

_log = logging.getLogger("lmservice.management")


class Drawing(Protocol):
    """What draws the pictures."""

    async def begin(self) -> None:
        """Begin, as the first observer comes."""

    def end(self) -> None:
        """End, as the last has left."""

    def picture(self) -> dict[str, Any]:
        """Return everything, now, from memory."""


class Events:
    """The observers of one instance, on the management listener's loop.

    Args:
        lifecycle: whose state it is.
        observation: draws it.
        introduce: gives what `hello` tells of the instance.
    """

    def __init__(self, lifecycle: Lifecycle, observation: Drawing, introduce: Callable[[], dict[str, Any]]) -> None:
        self._lifecycle, self._introduce = lifecycle, introduce
        self._observers: dict[Observer, None] = {}  # the one that came first, first
        self._observation = observation
        self._history: deque[dict[str, Any]] = deque(maxlen=HISTORY)
        self._drawing: asyncio.Task[None] | None = None
        self._last: dict[str, Any] = {}
        self._closed = False
        self._beginning = asyncio.Lock()

    @property
    def _full(self) -> bool:
        return self._closed or len(self._observers) >= MOST

    async def answer(self, *, allowed: bool) -> "EventStream | None":
        """Return the stream for one more observer; None where there can be no more."""
        async with self._beginning:
            if self._drawing is None and not self._full:
                await self._begin()
        if allowed and self._full:
            self._make_room()
        if self._full:
            self._rest()
            return None
        observer = Observer(allowed=allowed)
        self._observers[observer] = None
        hello = {"info": self._introduce(), "allowed": allowed, "history": list(self._history)}
        observer.greet(_event("hello", hello), self._told("picture", self._last, allowed=allowed))
        return EventStream(observer, self._leave)

    def _make_room(self) -> None:
        """End the stream of somebody who may not look inside: sixteen of these must not lock an operator out."""
        stranger = next((observer for observer in self._observers if not observer.allowed), None)
        if stranger is not None:
            stranger.finish(b"")
            self._observers.pop(stranger, None)

    async def _begin(self) -> None:
        try:
            await self._observation.begin()
            self._draw()
        except BaseException:
            self._observation.end()
            raise
        self._drawing = asyncio.create_task(self._draw_forever(), name="events")

    def _leave(self, observer: "Observer") -> None:
        self._observers.pop(observer, None)
        self._rest()

    def _rest(self) -> None:
        """Cease to draw where nobody watches."""
        if not self._observers and self._drawing is not None:
            self._drawing.cancel()
            self._drawing = None
            self._observation.end()

    async def _draw_forever(self) -> None:
        while True:
            await self._moment()
            if not self._drawn():
                continue
            for allowed in (True, False):
                observers = [observer for observer in self._observers if observer.allowed is allowed]
                event = self._told("picture", self._last, allowed=allowed) if observers else b""
                for observer in observers:
                    observer.show(event)

    def _drawn(self) -> bool:
        """Draw the next picture; one that fails must end neither the stream nor the process's own end."""
        try:
            self._draw()
        except Exception:  # noqa: BLE001 - whatever it reads may be the service's own
            _log.exception("GET /events could not draw")
            return False
        return True

    async def _moment(self) -> None:
        """Wait for the next picture's time, or for a new state."""
        loop = asyncio.get_running_loop()
        due = loop.time() + INTERVAL
        while loop.time() < due and self._lifecycle.state.value == self._last["state"]:  # noqa: ASYNC110 - other thread
            await asyncio.sleep(LOOK)

    def _draw(self) -> None:
        self._last = picture = self._observation.picture()
        traffic = picture["traffic"]
        routes = [{**route} for route in traffic["routes"][:MOST_REMEMBERED]]
        remembered = {"all": traffic["all"], "routes": routes}
        self._history.append({"at": picture["at"], "traffic": remembered, "event_loop": picture["event_loop"]})

    def _told(self, name: str, data: dict[str, Any], *, allowed: bool) -> bytes:
        return _event(name, data if allowed else without_private(data))

    def close(self, report: Mapping[str, Any] | None) -> None:
        """Tell every observer that the process ends, and end their streams."""
        self._closed = True
        if self._observers:
            self._drawn()
        end = {"state": self._lifecycle.state.value, "report": report}
        for observer in self._observers:
            last = self._told("picture", self._last, allowed=observer.allowed)
            observer.finish(last + self._told("end", end, allowed=observer.allowed))


class Observer:
    """One who watches: what waits to be sent is never more than the last picture."""

    def __init__(self, *, allowed: bool) -> None:
        self.allowed = allowed
        self._waiting: deque[bytes] = deque()
        self._last = False
        self._something = asyncio.Event()

    def greet(self, hello: bytes, picture: bytes) -> None:
        """Say who it is that is watched."""
        self._waiting.append(b"retry: 1000\n\n" + hello + picture)
        self._something.set()

    def show(self, picture: bytes) -> None:
        """Have the picture sent, in the place of one that was not."""
        if self._last:
            return
        self._waiting.clear()
        self._waiting.append(picture)
        self._something.set()

    def finish(self, end: bytes) -> None:
        """Have the last events sent."""
        self._waiting.append(end)
        self._last = True
        self._something.set()

    async def events(self) -> AsyncIterator[bytes]:
        """Yield what to send, up to the end."""
        while True:
            await self._something.wait()
            self._something.clear()
            while self._waiting:
                yield self._waiting.popleft()
            if self._last:
                return


class EventStream(Response):
    """The response that an observer reads until the process ends, or he leaves."""

    def __init__(self, observer: Observer, leave: Callable[[Observer], None]) -> None:
        super().__init__(headers={"content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._observer = observer
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        """Send events while the peer is there and reads them."""
        sending = asyncio.create_task(self._send(send), name="observer")
        gone = asyncio.create_task(_gone(receive), name="observer's end")
        try:
            await asyncio.wait([sending, gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._leave(self._observer)
            for task in (sending, gone):
                task.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": self.raw_headers})
        async for event in self._observer.events():
            async with asyncio.timeout(PATIENCE):
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    """Return once the peer has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _event(name: str, data: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + to_json(data, inf_nan_mode="null") + b"\n\n"
