"""Run a service as a process: both ports first, then the management thread, the service, signals, exit code."""

import asyncio
import contextlib
import gc
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Protocol

import uvloop

from lmservice.errors import BindError, ExitCode, UsageError
from lmservice.management.managed import Managed
from lmservice.management.thread import ManagementThread
from lmservice.runtime.heartbeat import Heartbeat
from lmservice.server import children, terminal
from lmservice.server.binding import bound
from lmservice.server.instance import Instance
from lmservice.server.signals import Served, signals
from lmservice.service import Service
from lmservice.settings.default_secrets import default_secrets
from lmservice.settings.model import Settings
from lmservice.settings.stop_budget import LEFTOVERS_SECONDS, LOOP_END_SECONDS
from lmservice.settings.variables import misspelt
from lmservice.telemetry import takeover
from lmservice.web import forwarded, sockets

_log = logging.getLogger("lmservice.server")


class ManagedService(Managed, Served, Protocol):
    """What has a management listener as well."""

    heartbeat: Heartbeat
    service: Service

    @property
    def failure(self) -> str:
        """Return why the start failed; '' where it has not."""


def run(service: Service, settings: Settings) -> ExitCode:
    """Run a service to its end, in the main thread and in this process alone.

    Raises:
        BindError: an address cannot be had; nothing has been started.
    """
    with (
        takeover.configured(settings, service.name, service.version) as stream,
        bound(settings, takes_requests=service.takes_requests) as (sock, management_sock),
    ):
        code = serve(Instance(service, settings, sock, stream), sock, management_sock, loop_factory(settings))
    takeover.leave_output()
    return code


def serve(
    instance: ManagedService,
    sock: socket.socket | None,
    management_sock: socket.socket,
    factory: Callable[[], asyncio.AbstractEventLoop],
) -> ExitCode:
    """Live with signals and a management listener, whose sockets are bound."""
    addresses = _addresses(sock, management_sock)
    linked = terminal.show_links(instance, **addresses)
    warn_of_misspelt(type(instance.settings))
    warn_of_default_secrets(instance.settings)
    forwarded.announce(instance.settings)
    takeover.tell_what_is_replaced()
    if instance.settings.http == "h11":
        _log.info("lmservice.own_http", extra={"hint": "LM_HTTP=h11 means lmservice's own HTTP, as auto does"})
    with signals(instance), children.withheld(sock, management_sock):
        management = start_management(instance, management_sock)
        if not linked:
            _log.info("lmservice.listening", extra=addresses)
        code = run_loop(factory, instance)
    management.close()
    terminal.show_reason(instance, code)
    leave_without_leftovers(code)
    return code


def settings_of(service: Service) -> Settings:
    """Return the settings, where they and the job graph can be used.

    Raises:
        UsageError: saying everything that is wrong with both, at once.
    """
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
    service.check(settings)
    return settings


def start_management(instance: ManagedService, sock: socket.socket) -> ManagementThread:
    """Start the management thread; it answers when this returns.

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


def _addresses(sock: socket.socket | None, management_sock: socket.socket) -> dict[str, str]:
    service = {"url": sockets.url(sock)} if sock is not None else {}
    return {**service, "management_url": sockets.url(management_sock)}


def warn_of_misspelt(settings: type[Settings]) -> None:
    """Log each variable that looks like a setting, and is none."""
    for name, nearest in misspelt(settings).items():
        hint = f"; did you mean {nearest}?" if nearest else ""
        _log.warning("lmservice.unknown_setting", extra={"variable": name, "hint": f"no setting reads it{hint}"})


def warn_of_default_secrets(settings: Settings) -> None:
    """Log each secret that is at its code's default, in `production`; the next version is to refuse them."""
    if settings.environment != "production":
        return
    hint = "set it; LM_ALLOW_DEFAULT_SECRETS=true allows it, without which the next version does not start"
    for name in default_secrets(settings):
        _log.warning("lmservice.default_secret", extra={"variable": name, "hint": hint})


def loop_factory(settings: Settings) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the service's event loop."""
    return asyncio.SelectorEventLoop if settings.loop == "asyncio" else uvloop.new_event_loop


def run_loop(factory: Callable[[], asyncio.AbstractEventLoop], instance: Served) -> ExitCode:
    """Run an instance as `asyncio.run` would, but never wait for worker threads that do not end."""
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
            loop.run_until_complete(asyncio.wait(rest, timeout=LOOP_END_SECONDS))
        with contextlib.suppress(RuntimeError, TimeoutError):
            loop.run_until_complete(asyncio.wait_for(loop.shutdown_asyncgens(), LOOP_END_SECONDS))
        asyncio.set_event_loop(None)
        if not [task for task in asyncio.all_tasks(loop) if not task.done()]:
            loop.close()


def leave_without_leftovers(code: ExitCode) -> None:
    """Bound the interpreter's own end, which waits for every thread, a handler's that hangs among them."""

    def leave() -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(code)

    timer = threading.Timer(0 if code is ExitCode.FORCED else LEFTOVERS_SECONDS, leave)
    timer.daemon = True
    timer.start()
