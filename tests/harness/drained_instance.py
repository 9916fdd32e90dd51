"""One instance of the service under test, and the moments of its stop.

Cases 8, 9, 12 and 15 hold with two workers too.

Each test's docstring names its case of "Zero downtime: what was measured, and what must hold":

| cases | file |
|---|---|
| 1, 2, 19 | test_connections.py |
| 3, 4, 10 | test_bodies.py |
| 5, 6, 11, 17 | test_streams.py |
| 7 | test_pipelining.py |
| 8, 9, 21 | test_backlog.py |
| 12, 13 | test_listener.py |
| 14 | test_rolling.py |
| 15, 16 | test_signals.py |
| 18 | test_websockets.py |
| 20 | test_peers.py |
| 22, 23 | test_startup.py |
| 24, 25 | test_probes.py |
"""

import time
from pathlib import Path
from typing import Protocol

import pytest
from processes import ServiceProcess
from strict_client import Connection, ExchangeError

PROGRAM = Path(__file__).with_name("acceptance_program.py")
DELAY = 1.0
DELAY_MAX = 3.0
IDLE_GRACE = 2.0
DRAIN = 5.0
SETTINGS = {
    "LM_ENVIRONMENT": "qa",
    "LM_DRAIN_DELAY": str(DELAY),
    "LM_DRAIN_QUIET": "0.3",
    "LM_DRAIN_DELAY_MAX": str(DELAY_MAX),
    "LM_IDLE_GRACE": str(IDLE_GRACE),
    "LM_DRAIN_TIMEOUT": str(DRAIN),
}
STACKS = [
    {"LM_HTTP": "httptools", "LM_LOOP": "uvloop"},
    {"LM_HTTP": "httptools", "LM_LOOP": "asyncio"},
    {"LM_HTTP": "h11", "LM_LOOP": "uvloop"},
    {"LM_HTTP": "h11", "LM_LOOP": "asyncio"},
]
EACH_STACK = pytest.mark.parametrize("stack", STACKS, ids=lambda stack: "-".join(stack.values()))
"""Runs a test on each parser and each loop; without it a service runs on its defaults."""
EACH_STACK_AND_WORKERS = pytest.mark.parametrize(
    "stack",
    [*STACKS, {"LM_WORKERS": "2", "LM_LOOP": "uvloop"}, {"LM_WORKERS": "2", "LM_LOOP": "asyncio"}],
    ids=lambda stack: "-".join(stack.values()),
)
"""The same, and on each loop with two workers."""


class Start(Protocol):
    """The fixture `start`: a service process, ready, with these settings beyond `SETTINGS` and the stack's."""

    def __call__(self, **settings: str) -> ServiceProcess: ...


def sleep_until(moment: float) -> None:
    """Returns at `moment` (of `time.monotonic`), or at once where it has passed."""
    time.sleep(max(0.0, moment - time.monotonic()))


def wait_refusing(port: int, *, within: float = DELAY_MAX + 7) -> None:
    """Returns once the port refuses; asks so rarely that its own connections do not keep the listener open."""
    end = time.monotonic() + within
    while not refuses(port):
        assert time.monotonic() < end, f"accepts after {within} s"
        time.sleep(0.5)


def refuses(port: int) -> bool:
    """Whether a connection to the port is refused; one that is accepted is closed unused."""
    try:
        Connection(port).socket.close()
    except ExchangeError as error:
        return error.kind == "refused"
    return False
