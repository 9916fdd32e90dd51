"""Running a service as a process: both ports first, then the management thread, the service, signals, exit code."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Protocol

import uvloop

from lmservice.errors import BindError, ExitCode, UsageError
from lmservice.lifecycle import Lifecycle, StopCause
from lmservice.management.endpoints import Managed
from lmservice.management.thread import ManagementThread
from lmservice.runtime.heartbeat import Heartbeat
from lmservice.server.instance import Instance
from lmservice.service import Service
from lmservice.settings.model import Settings
from lmservice.settings.variables import misspelt
from lmservice.telemetry import logs
from lmservice.web import sockets

LEFTOVER_PATIENCE = 2.0
"""What threads that do not end have, at the very end, before the process leaves without them, in seconds."""

_log = logging.getLogger("lmservice.server")


class Served(Protocol):
    """What runs to its end on an event loop, stopped by signals."""

    lifecycle: Lifecycle
    leaving: bool

    async def serve(self) -> ExitCode:
        """Its whole life."""

    def log_stacks(self) -> None:
        """Logs where every task and thread is."""


class ManagedService(Managed, Served, Protocol):
    """What has a management listener as well."""

    heartbeat: Heartbeat


def run(service: Service, settings: Settings) -> ExitCode:
    """Runs a service to its end, in the main thread and in this process alone.

    Raises:
        BindError: an address cannot be had; nothing has been started.
    """
    with logs.configured(settings, service.name, service.version) as stream, bound(settings) as (sock, management_sock):
        return serve(Instance(service, settings, sock, stream), sock, management_sock, loop_factory(settings))


def serve(
    instance: ManagedService,
    sock: socket.socket,
    management_sock: socket.socket,
    factory: Callable[[], asyncio.AbstractEventLoop],
) -> ExitCode:
    """Lives with signals and a management listener, whose sockets are bound."""
    warn_of_misspelt(type(instance.settings))
    with signals(instance):
        management = start_management(instance, management_sock)
        _log.info("lmservice.listening", extra=_addresses(sock, management_sock))
        code = run_loop(factory, instance)
    management.close()
    leave_without_leftovers(code)
    return code


def settings_of(service: Service) -> Settings:
    """The settings, where they and the job graph can be used; else everything that is wrong with both, at once."""
    problems: list[str] = []
    try:
        service.check()
    except UsageError as error:
        problems.append(str(error))
    try:
        settings = service.settings_class.load()
    except UsageError as error:
        problems.append(str(error))
    if problems:
        raise UsageError("\n".join(problems))
    return settings


@contextlib.contextmanager
def bound(settings: Settings) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both sockets, the service's and the management listener's, bound first thing."""
    with contextlib.ExitStack() as undo:
        pair: list[socket.socket] = []
        for name, host, port in (
            ("LM_", settings.host, settings.port),
            ("LM_MANAGEMENT_", settings.management_host, settings.management_port),
        ):
            if pair and port and port == settings.port and host in ("::", "0.0.0.0", settings.host):
                raise BindError(f"LM_PORT and LM_MANAGEMENT_PORT are both {port}: set one of them to another port")
            sock = sockets.bind(host, port, name=name)
            undo.callback(sock.close)
            pair.append(sock)
        yield pair[0], pair[1]


def start_management(instance: ManagedService, sock: socket.socket) -> ManagementThread:
    """Starts the management thread; it answers when this returns.

    Raises:
        BindError: another process has begun to listen on the same port.
    """
    management = ManagementThread(instance, sock, instance.heartbeat.watch)
    try:
        management.start()
    except OSError as error:
        where = sockets.url(sock)
        raise BindError(f"{where} cannot be listened on ({error.strerror}): set LM_MANAGEMENT_PORT") from None
    return management


def _addresses(sock: socket.socket, management_sock: socket.socket) -> dict[str, str]:
    return {"url": sockets.url(sock), "management_url": sockets.url(management_sock)}


def warn_of_misspelt(settings: type[Settings]) -> None:
    """Logs each variable that looks like a setting, and is none."""
    for name, nearest in misspelt(settings).items():
        hint = f"; did you mean {nearest}?" if nearest else ""
        _log.warning("lmservice.unknown_setting", extra={"variable": name, "hint": f"no setting reads it{hint}"})


def loop_factory(settings: Settings) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the service's event loop."""
    return asyncio.SelectorEventLoop if settings.loop == "asyncio" else uvloop.new_event_loop


@contextlib.contextmanager
def signals(instance: Served) -> Iterator[None]:
    """SIGTERM and SIGINT come through the lifecycle's door, until the clean-up; from there on they are ignored.

    SIGUSR1 has the stacks logged.
    """
    interrupts = 0

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal interrupts
        if instance.leaving:
            return
        if number == signal.SIGTERM:
            instance.lifecycle.stop(StopCause("SIGTERM"))
            return
        interrupts += 1
        if interrupts > 1:
            instance.lifecycle.force()
        elif not instance.lifecycle.stop(StopCause("SIGINT", hurried=True)):
            instance.lifecycle.hurry()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    signal.signal(signal.SIGUSR1, lambda *_: instance.log_stacks())
    yield
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):  # restored handlers would let a late one change the exit code
        signal.signal(number, signal.SIG_IGN)


def run_loop(factory: Callable[[], asyncio.AbstractEventLoop], instance: Served) -> ExitCode:
    """Like `asyncio.run`, but never waits for worker threads that do not end."""
    gc.freeze()  # what the imports have made stays: no collection need ever look at it
    gc.enable()
    loop = factory()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(instance.serve())
    finally:
        rest = [task for task in asyncio.all_tasks(loop) if not task.done()]
        for task in rest:
            task.cancel()
        if rest:
            loop.run_until_complete(asyncio.wait(rest, timeout=0.2))
        with contextlib.suppress(RuntimeError):
            loop.run_until_complete(asyncio.wait_for(loop.shutdown_asyncgens(), 0.5))
        asyncio.set_event_loop(None)
        if not [task for task in asyncio.all_tasks(loop) if not task.done()]:
            loop.close()


def leave_without_leftovers(code: ExitCode) -> None:
    """Bounds the interpreter's own end, which waits for every thread, a handler's that hangs among them."""

    def leave() -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(code)

    timer = threading.Timer(0 if code is ExitCode.FORCED else LEFTOVER_PATIENCE, leave)
    timer.daemon = True
    timer.start()
