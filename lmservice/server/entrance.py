"""The way into a process that serves: its listener, of its own or shared with other workers."""

import asyncio
import socket
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from lmservice.lifecycle import Lifecycle
from lmservice.settings.model import Settings
from lmservice.web.listener import Listener
from lmservice.web.patience import Limits
from lmservice.web.request import RequestLayer


class Handover(StrEnum):
    """How a worker parts with the listener that it shares."""

    LEAVE = "leave"
    """The others go on accepting."""
    REFUSE = "refuse"
    """Nobody is to connect any longer."""


class SharedListener:
    """What one of several workers knows of the listener that they share, told by their supervisor; for two threads.

    Attributes:
        worker: its number, from 1.
        ahead: whether the others should take the next connection, as it has so many.
        handover: how to part with the listener, once it is time.
        left_alone: whether the supervisor has gone, so that it goes by its own clock.
        refused: set once it has parted with the listener.
    """

    def __init__(self, worker: int, ahead: Callable[[int], bool]) -> None:
        self.worker, self.ahead = worker, ahead
        self.handover: Handover | None = None
        self.left_alone = self.refused = False


def new_listener(
    settings: Settings,
    layer: RequestLayer,
    sock: socket.socket,
    state: Mapping[str, Any],
    shared: SharedListener | None,
) -> Listener:
    """Return the service's listener, which does not listen yet.

    Args:
        settings: its limits.
        layer: what serves the requests.
        sock: bound.
        state: what each request's `state` begins as.
        shared: for one of several workers, what it knows of the listener that they share.
    """
    return Listener(
        layer,
        sock,
        limits=_limits(settings),
        state=state,
        ahead=shared.ahead if shared is not None else None,
        reserve=True,
        refused=layer.refuse_unread,
        on_rejected=layer.count_rejected,
        admission=layer.admission,
        turned_away=layer.turned_away,
        given_up=layer.note_given_up,
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        keep_alive_timeout=settings.keep_alive_timeout,
        head_timeout=settings.head_timeout,
        write_timeout=settings.write_timeout,
        head_size=int(settings.max_head_size),
        headers=settings.max_headers,
        max_age=settings.max_connection_age,
    )


class OwnEntrance:
    """The listener of the only process that serves (`Entrance`)."""

    def __init__(self, listener: Listener, settings: Settings, lifecycle: Lifecycle) -> None:
        self._listener, self._settings, self._lifecycle = listener, settings, lifecycle

    def may_close(self, passed: float) -> bool:
        """Return whether the delay is over, `passed` seconds after the drain began."""
        quiet = asyncio.get_running_loop().time() - self._listener.last_opened
        return delay_is_over(self._settings, self._lifecycle, passed, quiet)

    async def close(self) -> None:
        """Refuse new connections, accept those that wait, close the WebSockets and let event streams end."""
        await self._part()
        self._listener.close_websockets()
        self._listener.release_event_streams(hurried=self._lifecycle.hurried)

    async def _part(self) -> None:
        await self._listener.refuse()

    def close_idle(self) -> None:
        """Close the connections on which nothing goes on."""
        self._listener.close_idle()
        if self._lifecycle.hurried:
            self._listener.release_event_streams(hurried=True)
            self._listener.hurry_lingering()

    async def end(self) -> None:
        """Cut what is still connected."""
        await self._listener.close()


class SharedEntrance(OwnEntrance):
    """The listener that a worker shares: the supervisor says when, and how, to part with it."""

    def __init__(self, listener: Listener, settings: Settings, lifecycle: Lifecycle, shared: SharedListener) -> None:
        super().__init__(listener, settings, lifecycle)
        self._shared = shared

    def may_close(self, passed: float) -> bool:
        """Return whether the supervisor has said how to part; the delay counts where it has gone."""
        if self._shared.left_alone:
            return super().may_close(passed)
        return self._shared.handover is not None

    async def _part(self) -> None:
        if self._shared.handover is Handover.LEAVE:
            self._listener.leave()
        else:
            await self._listener.refuse()
        self._shared.refused = True


class NoEntrance:
    """The way into a service that takes no requests: closed from the first moment (`Entrance`)."""

    def may_close(self, passed: float) -> bool:  # noqa: ARG002 - nobody comes
        """Return that no delay is needed."""
        return True

    async def close(self) -> None:
        """Close nothing."""

    def close_idle(self) -> None:
        """Close nothing."""

    async def end(self) -> None:
        """Cut nothing."""


def delay_is_over(settings: Settings, lifecycle: Lifecycle, passed: float, quiet: float) -> bool:
    """Return whether a listener that drains may refuse new connections.

    Args:
        settings: how long it stays.
        lifecycle: the drain may have been hurried.
        passed: since the drain began, in seconds.
        quiet: since the last connection came, in seconds.
    """
    longest = max(settings.drain_delay_max, settings.drain_delay)
    return lifecycle.hurried or passed >= longest or (passed >= settings.drain_delay and quiet >= settings.drain_quiet)
