"""`lmservice verify-drain`: whether a service can be stopped under load without losing a request.

It runs the service as a process of its own, as in production but with a short delay, loads it with clients that never
retry, stops it in the middle, and says what they met.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lmservice.cli.verify_drain.load import Load
from lmservice.errors import ExitCode, UsageError
from lmservice.settings.default_secrets import DEV
from lmservice.settings.model import Settings

DELAY = 1.5
"""The drain delay under which it runs, in seconds: long enough that clients send meanwhile."""
SETTINGS = {
    "LM_ENVIRONMENT": "verify-drain",
    "LM_HOST": "127.0.0.1",
    "LM_PORT": "0",
    "LM_MANAGEMENT_HOST": "127.0.0.1",
    "LM_MANAGEMENT_PORT": "0",
    "LM_MANAGEMENT_ALLOW": '["127.0.0.1/32"]',
    "LM_LOG_FORMAT": "json",
    "LM_LOG_LEVEL": "INFO",
    "LM_ACCESS_LOG": "false",
    "LM_DRAIN_DELAY": str(DELAY),
    "LM_DRAIN_QUIET": "0.2",
    "LM_DRAIN_DELAY_MAX": str(DELAY + 0.5),
    "LM_IDLE_GRACE": "1",
    "LM_GRAPHITE_URL": "",
}
"""The settings that differ from the environment's; of these, those that a person gave by `LM_DRAIN_...` stay his."""
_MARGIN = 15.0
"""The time that the process may take beyond its own limits, in seconds."""


@dataclass
class TrialOptions:
    """What is asked for.

    Attributes:
        path: what the clients ask for.
        clients: how many there are.
        seconds: how long they send before the stop.
        signal: whether SIGTERM begins the stop, instead of `/stop`.
    """

    target: str
    path: str = "/"
    clients: int = 32
    seconds: float = 2.0
    signal: bool = False

    def check(self) -> None:
        """Make sure that it can be done.

        Raises:
            UsageError: naming the option.
        """
        if not self.path.startswith("/") or not self.path.isascii() or any(mark.isspace() for mark in self.path):
            raise UsageError(f"--path {self.path!r} must begin with / and have neither spaces nor letters past ASCII")
        if not 1 <= self.clients <= 1000:  # noqa: PLR2004 - of one process
            raise UsageError(f"--clients {self.clients} must be 1 to 1000")
        if not 0 < self.seconds <= 600:  # noqa: PLR2004 - ten minutes
            raise UsageError(f"--seconds {self.seconds:g} must be more than 0 and at most 600")


def verify(options: TrialOptions, settings: Settings) -> ExitCode:
    """Run it, stop it, and print what was lost; return 1 where anything was.

    Raises:
        UsageError: an option cannot be used, or the service does not start.
    """
    options.check()
    findings = asyncio.run(_Trial(options, settings).run())
    for finding in findings:
        print(f"lost: {finding}")  # noqa: T201 - the command's output
    print("FAIL" if findings else "PASS")  # noqa: T201
    return ExitCode.FINDINGS if findings else ExitCode.CLEAN


class _Trial:
    """One service, one load, one stop."""

    def __init__(self, options: TrialOptions, settings: Settings) -> None:
        self._options = options
        self._settings = settings
        self._process: asyncio.subprocess.Process
        self._events: dict[str, dict[str, Any]] = {}
        self._came = asyncio.Condition()
        self._output: list[str] = []

    async def run(self) -> list[str]:
        async with self._service():
            listening = await self._event("lmservice.listening", self._settings.startup_timeout)
            await self._event("lmservice.ready", self._settings.startup_timeout)
            port = urlsplit(listening["url"]).port or 0
            limit = self.limit
            load = Load("127.0.0.1", port, self._options.path, timeout=limit)
            loading = asyncio.create_task(load.run(self._options.clients))
            await asyncio.sleep(self._options.seconds)
            before, began = load.served, time.monotonic()
            await self._stop(listening["management_url"])
            accepting = asyncio.create_task(self._close_gate(load))
            code = await self._ended(limit + self._settings.cleanup_timeout)
            load.stopping = True
            accepting.cancel()
            await loading
        self._tell(load, before, time.monotonic() - began)
        return self._findings(load, began, code)

    async def _close_gate(self, load: Load) -> None:
        """Let the listener refuse from the end of the delay on."""
        await asyncio.sleep(self._delay * 0.9)
        load.accepting = False

    @property
    def _delay(self) -> float:
        return float(os.environ.get("LM_DRAIN_DELAY") or DELAY)

    @property
    def limit(self) -> float:
        """Return how long the stop may take without its clean-up, in seconds, as a person's own settings have it."""
        longest = max(self._delay, float(os.environ.get("LM_DRAIN_DELAY_MAX") or DELAY + 0.5))
        return self._settings.drain_timeout + longest + _MARGIN

    @contextlib.asynccontextmanager
    async def _service(self) -> AsyncIterator[None]:
        delays = {
            name: value for name, value in os.environ.items() if name in SETTINGS and name.startswith("LM_DRAIN_")
        }
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "lmservice",
            "run",
            self._options.target,
            env={**_dot_env(self._settings), **os.environ, **SETTINGS, **delays},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 20,
        )
        reading = asyncio.create_task(self._read())
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            await reading

    async def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        async for line in self._process.stdout:
            text = line.decode("utf-8", "replace").rstrip()
            self._output = [*self._output[-20:], text]
            with contextlib.suppress(ValueError, TypeError, KeyError):
                event = json.loads(text)
                self._events.setdefault(event["event"], event)
            async with self._came:
                self._came.notify_all()
        await self._process.wait()
        async with self._came:
            self._came.notify_all()

    async def _event(self, name: str, timeout: float) -> dict[str, Any]:
        async def come() -> dict[str, Any]:
            async with self._came:
                await self._came.wait_for(lambda: name in self._events or self._process.returncode is not None)
            if name not in self._events:
                raise UsageError("\n".join(["the service did not get ready:", *self._why()]))
            return self._events[name]

        try:
            return await asyncio.wait_for(come(), timeout + _MARGIN)
        except TimeoutError:
            raise UsageError(f"the service was not ready within {timeout + _MARGIN:g} s") from None

    def _why(self) -> list[str]:
        """Return what the process said of its end."""
        failed = self._events.get("lmservice.start_failed")
        return [failed["error"]] if failed else [line for line in self._output if not line.startswith("{")]

    async def _stop(self, management_url: str) -> None:
        if self._options.signal:
            self._process.send_signal(signal.SIGTERM)
            return
        port = urlsplit(management_url).port
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /stop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        self._asked = writer  # kept open, as the answer comes at the end

    async def _ended(self, limit: float) -> int | None:
        try:
            return await asyncio.wait_for(self._process.wait(), limit)
        except TimeoutError:
            return None

    def _tell(self, load: Load, before: int, seconds: float) -> None:
        how, path = "SIGTERM" if self._options.signal else "/stop", self._options.path
        print(  # noqa: T201 - the command's output
            f"{self._options.target}: {self._options.clients} clients of GET {path}: {before}"
            f" answered before {how}, {load.served - before} in the {seconds:.1f} s after it"
        )
        if load.missed and load.missed == load.served:
            print(f"every answer was 404: name a path of the service by --path to try more of it than {path}")  # noqa: T201

    def _findings(self, load: Load, began: float, code: int | None) -> list[str]:
        findings = []
        for kind, count in load.losses.items():
            when = load.first[kind] - began
            place = f"the first {when:.2f} s after the stop began" if when >= 0 else "from before the stop on"
            findings.append(f"{count} request{'s' if count > 1 else ''}: {kind} ({place}){_hint(kind)}")
        if not load.served and not load.losses:
            findings.append("all: nothing was answered at all")
        report = self._events.get("lmservice.stopped", {})
        cut = report.get("requests", {}).get("cancelled", 0)
        if code is None:
            findings.append("the process did not end within its own limits, and was killed")
        elif code != ExitCode.CLEAN:
            reason = "; ".join(report.get("problems", ())) or f"{cut} requests were cut off by LM_DRAIN_TIMEOUT"
            findings.append(f"the process ended with {code}: {reason}")
        return findings


def _dot_env(settings: Settings) -> dict[str, str]:
    """Return what `.env` sets, which the service would not read in the environment in which it is tried."""
    if settings.environment != DEV or not Path(".env").is_file():
        return {}
    from dotenv import dotenv_values  # noqa: PLC0415 - comes with pydantic-settings

    return {name: value for name, value in dotenv_values(".env").items() if value is not None}


def _hint(kind: str) -> str:
    if kind == "answered 503":
        return ": it outlived LM_DRAIN_TIMEOUT, or the load was over LM_MAX_CONCURRENCY"
    if kind == "answered 504":
        return ": it took longer than LM_REQUEST_TIMEOUT"
    return ""
