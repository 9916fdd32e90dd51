"""One worker as its supervisor sees it: its process, what it last said of itself, and what it can be asked."""

import asyncio
import contextlib
import itertools
import logging
import signal
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from lmservice.lifecycle import State, StopCause
from lmservice.server.entrance import Handover
from lmservice.workers.channel import Channel, Message
from lmservice.workers.connection_counts import ConnectionCounts
from lmservice.workers.descriptors import NO_LISTENER, InheritedDescriptors
from lmservice.workers.exchange import End
from lmservice.workers.memory import MemoryKills
from lmservice.workers.supervisor_link import INTERVAL

if TYPE_CHECKING:
    from lmservice.server.report import StopReport
    from lmservice.workers.exchange import WorkerStatus
    from lmservice.workers.spawned import WorkerProcess

_log = logging.getLogger("lmservice.workers")

PATIENCE = 5.0
"""How long an answer may take, in seconds."""


class UnansweredError(Exception):
    """A worker has failed to answer, or has ended; `status` is the HTTP status that says so."""

    def __init__(self, message: str, status: int = 503) -> None:
        self.status = status
        super().__init__(message)


class Worker:
    """A process that serves.

    Args:
        begin: starts its process.
        number: from 1.
        listener: the socket that it accepts from with the others; None where the service takes no requests.
        counts: the workers' numbers of connections.
        kills: the kernel's count of processes that it has killed for memory.
        counted: takes each snapshot of what it has counted.
        met: called once it listens.

    Attributes:
        status: what it last said of itself; empty before it has said anything.
        alive: whether it has not ended.
        report: how it ended, in its own words; None where it has not told.
        end: how it ended, as its process has it; empty before.
        picture: the last that it has drawn for those who watch, as JSON; empty before the first.
    """

    def __init__(
        self,
        begin: "Callable[[InheritedDescriptors], WorkerProcess]",
        number: int,
        *,
        listener: socket.socket | None,
        counts: ConnectionCounts,
        kills: MemoryKills,
        counted: Callable[[int, bytes], None],
        met: "Callable[[Worker], None]",
    ) -> None:
        self.number = number
        self.began = time.monotonic()
        self.status: WorkerStatus = {}
        self.report: StopReport | None = None
        self.picture = b""
        self.alive = True
        self.end: End = {}
        self._counted, self._met, self._counts, self._kills = counted, met, counts, kills
        self._told = False
        self._questions = itertools.count()
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._channel: Channel | None = None
        self._sock, theirs = socket.socketpair()
        with theirs:
            accepting = listener.fileno() if listener is not None else NO_LISTENER
            descriptors = InheritedDescriptors(number, accepting, theirs.fileno(), counts.descriptor)
            try:
                self._process = begin(descriptors)
            except OSError:
                self._sock.close()
                raise

    @property
    def pid(self) -> int:
        """Return the process's id."""
        return self._process.pid

    @property
    def state(self) -> State:
        """Return where it is in its life."""
        if not self.alive:
            return State.STOPPED
        return State(self.status.get("state", State.STARTING))

    @property
    def ready(self) -> bool:
        """Return whether it serves, and no critical check says otherwise."""
        return self.alive and bool(self.status.get("ready"))

    @property
    def still_for(self) -> float:
        """Return how long its event loop, or all of it, has stood still, in seconds; 0 as long as it turns."""
        if not self.alive or not self.status:
            return 0.0
        silent: float = max(0.0, time.monotonic() - self.status["at"] - 2 * INTERVAL)
        return silent + float(self.status["still_for"])

    async def live(self) -> None:
        """Listen to it until it has ended."""
        self._channel = await Channel.open(self._sock)
        ending = asyncio.create_task(self._process.ended())
        listening = asyncio.create_task(self._listen(self._channel))
        code = await ending
        await asyncio.wait([listening], timeout=1)  # for its last words; whoever it has forked may hold its end
        listening.cancel()
        await self._channel.close()
        self._counts.leave(self.number)
        self.end = _end(code, self._kills)
        self.alive = False
        for future in self._asked.values():
            if not future.done():
                future.set_exception(UnansweredError(f"worker {self.number} has ended"))

    async def _listen(self, channel: Channel) -> None:
        while (message := await channel.receive()) is not None:
            try:
                self._heed(message)
            except Exception:  # noqa: BLE001 - a worker that is not heard any longer would count as hanging
                _log.exception("%r of worker %d could not be heeded", message.kind, self.number)

    def _heed(self, message: Message) -> None:
        kind, values, payload = message
        match kind:
            case "hello":
                self._met(self)
            case "status":
                self.status = cast("WorkerStatus", values)
                if self.state is State.DRAINING and not self._told:
                    self.tell("part", handover=Handover.LEAVE)  # it stops by itself, and the others go on
            case "counted":
                self._counted(self.number, payload)
            case "picture":
                self.picture = payload
            case "report":
                self.report = values["report"]
            case "answer" | "failure":
                future = self._asked.pop(values["question"], None)
                if future is None or future.done():
                    return
                if kind == "answer":
                    future.set_result(payload)
                else:
                    future.set_exception(UnansweredError(values["error"], values["status"]))

    def tell(self, kind: str, **values: Any) -> None:
        """Tell it something that has no answer."""
        if self._channel is not None:
            self._channel.send(kind, **values)

    async def ask(self, what: str, *, patience: float = PATIENCE, **values: Any) -> bytes:
        """Ask it for something.

        Raises:
            UnansweredError: it has ended, could not answer, or took longer than `patience` seconds.
        """
        if self._channel is None or not self.alive:
            raise UnansweredError(f"worker {self.number} does not run")
        number = next(self._questions)
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        self._channel.send(what, question=number, **values)
        try:
            return await asyncio.wait_for(future, patience)
        except TimeoutError:
            raise UnansweredError(f"worker {self.number} has not answered within {patience:g} s") from None
        finally:
            self._asked.pop(number, None)

    def stop(self, cause: StopCause) -> None:
        """Have it drain, with all others; one that has not come so far as to listen is ended, and nothing is lost."""
        self._told = True
        if self.status:
            self.tell("stop", **cause._asdict())
        elif self.alive:
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()


def _end(code: int | None, kills: MemoryKills) -> End:
    if code is None:
        return {}
    if code >= 0:
        return {"exit_code": code}
    end: End = {"signal": str(-code)}
    with contextlib.suppress(ValueError):
        end["signal"] = signal.Signals(-code).name
    if code == -signal.SIGKILL and kills.take_one():
        end["cause"] = "memory"
        if (limit := kills.limit) is not None:
            end["memory_limit"] = limit
    return end
