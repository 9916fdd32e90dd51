"""How long a connection is waited for: its head, the rest of a body, its next request, its reading, its end."""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from lmservice.web import sockets

if TYPE_CHECKING:
    from lmservice.web.connection import HttpConnection

LINGER_SILENCE: Final = 2.0
"""How long nothing may have come before a lingering close ends, in seconds, …"""
LINGER_LONGEST: Final = 30.0
"""… and how long it takes at most once all is sent."""
ANSWER_LOOK: Final = 5.0
"""How long an answer may take until its connection is looked at again, in seconds."""
WRITE_LOOKS: Final = 4
"""How often a client that does not read is looked at before its time is over."""


class Ending(Protocol):
    """A connection whose close lingers.

    Attributes:
        transport: what it is written to.
        heard: when something last came that was swallowed, in the loop's seconds.
        sent_at: when all was sent of what was written before the close; 0 where it has not been yet.
    """

    transport: asyncio.Transport
    heard: float
    sent_at: float


class Limits(NamedTuple):
    """What a listener's connections may take: times in seconds, sizes in bytes.

    Attributes:
        keep_alive_timeout: how long an idle connection is kept.
        head_timeout: until a head that has begun is complete.
        write_timeout: how long a client may take none of what is sent to it; 0 is for ever.
        head_size: the largest head.
        headers: how many fields it may have.
        max_age: after about how long a connection's next response is its last; 0 is never.
    """

    keep_alive_timeout: float
    head_timeout: float = 10.0
    write_timeout: float = 60.0
    head_size: int = 65_536
    headers: int = 100
    max_age: float = 0.0

    @property
    def horizon(self) -> float:
        """How long it takes at least until a connection that is not idle can have been so for too long, in seconds."""
        return min(ANSWER_LOOK, self.keep_alive_timeout)


def look(connection: "HttpConnection", now: float) -> float | None:
    """Do what is due for a connection; return when to look next, None where it has come to its end."""
    unsent = connection.transport.get_write_buffer_size() + len(connection.held)
    if unsent and _is_stuck(connection, unsent, now):
        connection.listener.on_rejected("write_timeout")
        connection.transport.abort()
        return None
    due = look_at_end(connection, now) if connection.closing else _look_at_wait(connection, now)
    write_timeout = connection.listener.limits.write_timeout
    if due is None or not unsent or not write_timeout:
        return due
    return min(due, now + write_timeout / WRITE_LOOKS)


def _is_stuck(connection: "HttpConnection", unsent: int, now: float) -> bool:
    """Return whether a client has taken nothing for `write_timeout`.

    What the kernel still holds counts as well: it takes from us in large pieces, and much more rarely than a slow
    client takes from it.
    """
    left = unsent + sockets.unsent(connection.transport.get_extra_info("socket"))
    if left != connection.left:
        connection.left, connection.moved_at = left, now
        return False
    limit = connection.listener.limits.write_timeout
    return bool(limit) and now - connection.moved_at >= limit


def _look_at_wait(connection: "HttpConnection", now: float) -> float | None:
    limits, at = connection.listener.limits, connection.at
    if at == "answer":
        return now + limits.horizon
    if at == "head":
        due = max(connection.since, connection.head_since) + limits.head_timeout
    else:
        due = connection.since + limits.keep_alive_timeout
    if now < due:
        if at == "head":
            return min(due, now + limits.horizon)
        if at == "idle":
            connection.shrink()
        return due
    if at == "idle":
        connection.close()
        return now + LINGER_SILENCE / 4
    connection.transport.abort()  # nothing has been said that a lingering close would protect
    return None


def begin_end(ending: Ending, now: float) -> None:
    """Tell the client the end, and go on reading, as what has come unread would turn the close into a reset."""
    with contextlib.suppress(RuntimeError, OSError):
        ending.transport.resume_reading()
    with contextlib.suppress(RuntimeError, OSError, NotImplementedError):
        ending.transport.write_eof()
    ending.heard = now


def look_at_end(ending: Ending, now: float) -> float | None:
    """Wait for the flush as long as the client reads, then for silence; return when to look next, or close."""
    if ending.transport.get_write_buffer_size() > 0:
        ending.sent_at = 0.0
    elif not ending.sent_at:
        ending.sent_at = ending.heard = now
    elif now - ending.heard >= LINGER_SILENCE or now - ending.sent_at >= LINGER_LONGEST:
        ending.transport.close()
        return None
    return now + LINGER_SILENCE / 4
