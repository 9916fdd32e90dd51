"""The stacks of every asyncio task and every thread, read from another thread."""

import asyncio
import logging
import sys
import threading
import traceback
from types import FrameType
from typing import Any

_log = logging.getLogger("lmservice.stacks")


def snapshot(*loops: asyncio.AbstractEventLoop) -> dict[str, Any]:
    """Return what every task of `loops` and every thread is at, innermost call last."""
    return {"tasks": [_task(task) for loop in loops for task in _tasks(loop)], "threads": _threads()}


def log(*loops: asyncio.AbstractEventLoop) -> None:
    """Log the stack of every task and every thread, a line each, from a thread of its own.

    A signal handler runs wherever it interrupts, in the middle of a write for instance, and must not write itself.
    """
    threading.Thread(target=_log_all, args=loops, name="stacks", daemon=True).start()


def _log_all(*loops: asyncio.AbstractEventLoop) -> None:
    picture = snapshot(*loops)
    for task in picture["tasks"]:
        values = {"task_name": task["name"], "coroutine": task["coroutine"], "stack": "\n".join(task["stack"])}
        _log.warning("lmservice.task_stack", extra=values)
    for thread in picture["threads"]:
        values = {"thread_name": thread["name"], "stack": "\n".join(thread["stack"])}
        _log.warning("lmservice.thread_stack", extra=values)


def _tasks(loop: asyncio.AbstractEventLoop) -> list[asyncio.Task[Any]]:
    return sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())


def _task(task: asyncio.Task[Any]) -> dict[str, Any]:
    coroutine = task.get_coro()
    return {
        "name": task.get_name(),
        "coroutine": getattr(coroutine, "__qualname__", repr(coroutine)),
        "stack": _awaits(coroutine),
    }


def _awaits(coroutine: Any) -> list[str]:
    """Return the chain of awaits, from the task's own coroutine down to what it waits for."""
    lines: list[str] = []
    while coroutine is not None and len(lines) < 100:  # noqa: PLR2004 - a bound against chains that loop
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "ag_frame", None)
        if isinstance(frame, FrameType):
            lines.append(_line(frame))
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)
    return lines


def of_thread(ident: int) -> list[str]:
    """Return where a thread is, innermost call last; without source lines, which would have to be read."""
    frame = sys._current_frames().get(ident)  # noqa: SLF001 - documented
    return [_line(step) for step, _ in traceback.walk_stack(frame)][::-1] if frame is not None else []


def _line(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"


def _threads() -> list[dict[str, Any]]:
    return [
        {"name": thread.name, "daemon": thread.daemon, "stack": of_thread(thread.ident)}
        for thread in threading.enumerate()
        if thread.ident is not None
    ]
