"""Plain functions off the event loop, each in a daemon thread of its own.

A pool would make the seventh blocking start-up job wait for a place, and a worker that never returns would keep the
process from ending; a daemon thread does neither.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def run_in_thread(function: Callable[..., T], *args: Any, name: str, timeout: float | None = None) -> T:
    """Run `function` in a new thread, in a copy of the caller's context; cancelling abandons the thread.

    Raises:
        TimeoutError: it has not ended within `timeout` seconds; the thread goes on.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)  # type: ignore[arg-type]
        else:
            future.set_exception(error)

    def work() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = context.run(function, *args)
        except StopIteration as stop:  # a future cannot hold one
            error = RuntimeError(f"{name} raised StopIteration({stop.value!r})")
        except BaseException as raised:  # noqa: BLE001 - it belongs to whoever awaits
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody awaits
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name=name, daemon=True).start()
    async with asyncio.timeout(timeout):
        return await future
