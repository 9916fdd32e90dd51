"""What a program did at its import that a fork would break: threads, sockets, event loops, processes, open databases.

A forked worker has none of its parent's threads, and shares with the others each open socket, event loop and file. So
workers of such a program are not forked. What a library does that knows of forks (OpenBLAS ends its threads before one)
is no obstacle.
"""

import contextlib
import fcntl
import os
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")
_TASKS = Path("/proc/self/task")
_EVENT_LOOPS = ("[eventpoll]", "[io_uring]")


def open_descriptors() -> frozenset[int]:
    """Return the descriptors that are open."""
    return frozenset(number for number in (int(path.name) for path in _DESCRIPTORS.iterdir()) if _is_open(number))


def obstacles(inherited: frozenset[int]) -> list[str]:
    """Return what would not survive a fork, each named for people; to be called on the main thread.

    Args:
        inherited: the descriptors that were open before the program was imported.
    """
    names = [f"thread {thread.name!r}" for thread in threading.enumerate() if thread is not threading.main_thread()]
    unnamed = len(sys._current_frames()) - 1 - len(names)  # noqa: SLF001 - documented, and there is no other way
    names += [f"{unnamed} threads without a name"] if unnamed > 0 else []
    names += [f"child process {pid}" for pid in _child_processes()]
    opened = sorted(open_descriptors() - inherited)
    return names + [name for number in opened if (name := _name_of_shared(number))]


def native_threads() -> list[str]:
    """Return the threads besides the one that asks; those that end by themselves before a fork have, right after one.

    Libraries written in C start threads that Python does not know.
    """
    own = threading.get_native_id()
    names = [_text(task / "comm") for task in _TASKS.iterdir() if int(task.name) != own]
    return [f"thread of a library ({name})" for name in names if name]


def _child_processes() -> Iterator[str]:
    for task in _TASKS.iterdir():
        yield from _text(task / "children").split()


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):  # it has ended meanwhile
        return path.read_text().strip()
    return ""


def _is_open(number: int) -> bool:
    with contextlib.suppress(OSError):
        os.fstat(number)
        return True
    return False


def _name_of_shared(number: int) -> str:
    """Return the name of what processes must not share; '' where they may."""
    try:
        mode, link = os.fstat(number).st_mode, str((_DESCRIPTORS / str(number)).readlink())
        writes_and_reads = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
    except OSError:
        return ""
    if stat.S_ISSOCK(mode):
        return _socket_name(number)
    if link.endswith(_EVENT_LOOPS):
        return f"an event loop (descriptor {number})"
    return f"file {link!r}, open for reading and writing" if stat.S_ISREG(mode) and writes_and_reads else ""


def _socket_name(number: int) -> str:
    with socket.socket(fileno=os.dup(number)) as sock:
        for verb, ask in (("connected to", sock.getpeername), ("bound to", sock.getsockname)):
            with contextlib.suppress(OSError):
                if address := ask():
                    where = ":".join(map(str, address[:2])) if isinstance(address, tuple) else address
                    return f"socket {verb} {where}"
    return f"socket (descriptor {number})"
