"""A worker's side of the channel: what it tells the supervisor of itself, and what it is told.

On a thread of its own, as a process alone has its management listener on one: it answers while the service's event
loop cannot. Once the supervisor has gone, however it went, the worker drains by its own clock and ends.
"""

import asyncio
import contextlib
import logging
import socket
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from lmservice import names
from lmservice.lifecycle import State, StopCause
from lmservice.runtime import gil
from lmservice.runtime.profiling import ProfileRequest
from lmservice.runtime.threads import run_in_thread
from lmservice.server.entrance import Handover, SharedListener
from lmservice.server.instance import Instance
from lmservice.settings.stop_budget import REPORT_SECONDS
from lmservice.telemetry.logs import current_stream
from lmservice.workers import snapshot
from lmservice.workers.channel import Channel, Message

if TYPE_CHECKING:
    from lmservice.console.picture import Observation

INTERVAL = 0.25
"""Between two words of how it is, in seconds, …"""
INTERVAL_OF_CHANGE = 0.05
"""… and while it starts or drains."""
SNAPSHOT_INTERVAL = 1.0
"""Between two snapshots of what has been counted, in seconds, …"""
SNAPSHOT_SHARE = 0.02
"""… or longer, so that they take no more than this share of the time."""
NOT_OURS = frozenset((names.STATE, names.READY))
"""Families that the supervisor alone can tell."""
PICTURE_INTERVAL = 0.5
"""Between two pictures, in seconds, while somebody watches: less than between two that are shown, so that each is of
something new. A new state is told at once."""

_log = logging.getLogger("lmservice.workers")


class SupervisorLink:
    """Speaks for a worker from `start` to `close`."""

    def __init__(self, instance: Instance, shared: SharedListener, sock: socket.socket) -> None:
        self._instance, self._shared, self._sock = instance, shared, sock
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._uncounted = False
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._channel: Channel
        self._counting = asyncio.Lock()
        self._answering: set[asyncio.Task[None]] = set()
        self._observation: Observation | None = None
        self._drawn: tuple[float, State | None] = 0.0, None
        """When the last picture was drawn, and of which state."""

    def start(self) -> None:
        """Begin, on a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Tell how it has ended and what it has counted, then leave."""
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(timeout=REPORT_SECONDS)

    def _run(self) -> None:
        current_stream.set(self._instance.stream)
        asyncio.set_event_loop(self._loop)
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._channel = await Channel.open(self._sock)
        self._channel.send("hello")
        tasks = [asyncio.create_task(work) for work in (self._listen(), self._count())]
        output = self._instance.stream.output
        while not self._closing.is_set():
            self._instance.heartbeat.watch()
            if output.behind:
                output.flush()
            self._channel.send("status", **self._status())
            self._draw()
            await self._pause()
        for task in tasks:
            task.cancel()
        self._instance.levels.revert_all()
        await self._say_goodbye()

    async def _pause(self) -> None:
        still = self._instance.lifecycle.state is State.READY
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), INTERVAL if still else INTERVAL_OF_CHANGE)

    def _status(self) -> dict[str, Any]:
        instance = self._instance
        return {
            "at": time.monotonic(),
            "state": instance.lifecycle.state,
            "still_for": instance.heartbeat.still_for(),
            "started": instance.started,
            "ready": instance.ready,
            "awaits_checks": instance.awaits_checks,
            "refused": self._shared.refused,
            "last_opened": instance.last_opened,
            "in_flight": instance.in_flight,
            "progress": instance.progress(),
        }

    async def _listen(self) -> None:
        while (message := await self._channel.receive()) is not None:
            try:
                await self._heed(message)
            except Exception:  # noqa: BLE001 - whoever did not hear the next message would never stop
                _log.exception("a worker could not heed %r", message.kind)
        self._shared.left_alone = True
        self._instance.lifecycle.stop(StopCause("supervisor ended"))

    async def _heed(self, message: Message) -> None:
        kind, values, _ = message
        lifecycle = self._instance.lifecycle
        match kind:
            case "stop":
                lifecycle.stop(StopCause(**values))
            case "hurry":
                lifecycle.hurry()
            case "force":
                lifecycle.force()
            case "part":
                self._shared.handover = Handover(values["handover"])
            case "stacks":
                self._instance.log_stacks()
            case "observe":
                await self._observe(watched=values["watched"])
            case _:
                task = asyncio.create_task(self._answer(kind, values))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)

    async def _observe(self, *, watched: bool) -> None:
        """Begin to draw pictures, or cease to: whoever does not watch costs nothing."""
        if self._observation is not None:
            self._observation.end()
        self._observation = None
        if watched:
            self._observation = self._instance.observation()
            await self._observation.begin()
            self._draw(now=True)

    def _draw(self, *, now: bool = False) -> None:
        at, state = time.monotonic(), self._instance.lifecycle.state
        due = now or at >= self._drawn[0] + PICTURE_INTERVAL or state is not self._drawn[1]
        if self._observation is None or not due:
            return
        self._drawn = at, state
        try:
            self._channel.send("picture", to_json(self._observation.picture(counts=True), inf_nan_mode="null"))
        except Exception:  # noqa: BLE001 - whatever it reads may be the service's own
            _log.exception("a picture could not be drawn")

    async def _answer(self, kind: str, values: dict[str, Any]) -> None:
        number = values.pop("question")
        try:
            answer = await self._found(kind, values)
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            status = getattr(error, "status", 500)
            self._channel.send("failure", question=number, error=str(error), status=int(status))
        else:
            self._channel.send("answer", answer, question=number)

    async def _found(self, kind: str, values: dict[str, Any]) -> bytes:
        instance = self._instance
        match kind:
            case "count":
                await self._tell_counts()  # as always, so that the supervisor hears them in order
                return b""
            case "tasks":
                return to_json(await instance.tasks())
            case "loggers":
                return to_json(instance.levels.report())
            case "level":
                return to_json(instance.levels.change(values["name"], to_json(values["change"])))
            case "profile":
                return (await instance.profile(ProfileRequest(**values))).body
            case _:
                raise ValueError(f"{kind!r} is no question that a worker knows")

    async def _count(self) -> None:
        """Tell what has been counted, now and then, for the supervisor to have when this process is killed."""
        while True:
            began = time.monotonic()
            try:
                await self._tell_counts()
            except Exception:  # noqa: BLE001 - a collector of the service's own may raise anything, once or always
                if not self._uncounted:
                    self._uncounted = True
                    _log.exception("what has been counted could not be told")
            else:
                self._uncounted = False
            await self._channel.flush()
            await asyncio.sleep(max(SNAPSHOT_INTERVAL, (time.monotonic() - began) / SNAPSHOT_SHARE))

    async def _tell_counts(self) -> None:
        async with self._counting:
            self._channel.send("counted", await run_in_thread(partial(_taken, self._instance), name="snapshot"))

    async def _say_goodbye(self) -> None:
        self._draw(now=True)
        report = self._instance.report
        if report.done():
            self._channel.send("report", report=report.result())
        self._channel.send("counted", _taken(self._instance))
        await self._channel.close()


def _taken(instance: Instance) -> bytes:
    with gil.frequent_switches():
        return snapshot.taken(instance.metrics.registry, without=NOT_OURS)
