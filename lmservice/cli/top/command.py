"""`lmservice top`: the console for a terminal, of one instance or of many."""

import contextlib
import os
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lmservice.cli.top.feed import Feed
from lmservice.cli.top.running import urls_of
from lmservice.errors import ExitCode, MissingExtraError

if TYPE_CHECKING:
    from rich.console import Console

PERIOD = 0.5
"""The time between two frames, in seconds."""
PATIENCE = 3.0
"""The time that `--once` waits for the first news of an instance, in seconds."""


def top(words: Sequence[str], *, once: bool) -> ExitCode:
    """Watch instances until `q` or Ctrl-C; with `once`, print what they are at, and return 1 where one is missing.

    Args:
        words: URLs of management listeners, and names of services that run on this machine.
        once: nothing is watched.

    Raises:
        UsageError: a URL is none, or no service of that name runs here.
        MissingExtraError: rich is not installed.
    """
    feeds = [Feed(url) for url in urls_of(words)]
    try:
        from rich.console import Console  # noqa: PLC0415 - it comes with an extra

        from lmservice.cli.top.panel import screen  # noqa: PLC0415 - the same
    except ImportError:
        raise MissingExtraError("lmservice top needs rich: install lmservice[top]") from None
    for feed in feeds:
        feed.start()
    console = Console()
    if once:
        _wait(feeds)
        console.print(screen(feeds, console.width, height=None))
        return ExitCode.FINDINGS if any(feed.problem for feed in feeds) else ExitCode.CLEAN
    _watch(console, feeds)
    return ExitCode.CLEAN


def _wait(feeds: Sequence[Feed]) -> None:
    deadline = time.monotonic() + PATIENCE
    for feed in feeds:
        feed.heard.wait(max(0.0, deadline - time.monotonic()))


def _watch(console: "Console", feeds: Sequence[Feed]) -> None:
    from rich.live import Live  # noqa: PLC0415 - as in top

    from lmservice.cli.top.panel import screen  # noqa: PLC0415 - the same

    with (
        _interrupts() as interrupted,
        _keys() as keys,
        Live(console=console, screen=console.is_terminal, auto_refresh=False) as live,
    ):
        while not interrupted.is_set():
            live.update(screen(feeds, console.width, console.height), refresh=True)
            if _asked_to_leave(keys):
                return


@contextlib.contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Note a Ctrl-C; raised in the middle of a frame, it might be swallowed or leave the terminal as it is."""
    interrupted = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _keys() -> Iterator[int | None]:
    """Give each key at once; None where there is no keyboard."""
    if not sys.stdin.isatty():
        yield None
        return
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield keyboard
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _asked_to_leave(keys: int | None) -> bool:
    """Wait for the next frame's time, or a key."""
    if keys is None:
        time.sleep(PERIOD)
        return False
    ready, _, _ = select.select([keys], [], [], PERIOD)
    return bool(ready) and os.read(keys, 64)[:1] in (b"q", b"Q", b"")
