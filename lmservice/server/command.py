"""One run of a command: a service with nothing but the start-up jobs that it needs, which stops when it has ended."""

import copy
from collections.abc import Sequence

from starlette.datastructures import State as RequestState

from lmservice.errors import ExitCode, UsageError
from lmservice.jobs.commands import Command, CommandRun
from lmservice.lifecycle import Drainable, StopCause
from lmservice.server.binding import bound
from lmservice.server.instance import Instance
from lmservice.server.process import loop_factory, serve
from lmservice.service import Service
from lmservice.settings.model import Settings
from lmservice.telemetry import takeover
from lmservice.telemetry.logs import Stream
from lmservice.web.starlette import RoutesApp


def run(service: Service, settings: Settings, name: str, words: Sequence[str]) -> ExitCode:
    """Run a command to its end, in the main thread; the management port is a free one unless it is set.

    Raises:
        UsageError: there is no such command, or it takes no words.
        BindError: the management listener's address cannot be had.
    """
    command = _named(service, name)
    command.called_with(words)  # before anything has begun
    if "management_port" not in settings.model_fields_set:
        settings = settings.model_copy(update={"management_port": 0})
    alone = _with_command_alone(service, command)
    with (
        takeover.configured(settings, service.name, service.version) as stream,
        bound(settings, takes_requests=False) as (_, management_sock),
    ):
        instance = CommandInstance(alone, settings, stream, command, words)
        code = serve(instance, None, management_sock, loop_factory(settings))
    takeover.leave_output()
    return code


def _named(service: Service, name: str) -> Command:
    for command in service.commands:
        if command.name == name:
            return command
    known = ", ".join(sorted(command.name for command in service.commands)) or "none"
    raise UsageError(f"service {service.name!r} has no command {name!r}: its commands are {known}")


def _with_command_alone(service: Service, command: Command) -> Service:
    """Return the service as it is for a command: no app, no consumers, no checks, no periodic jobs."""
    alone = copy.copy(service)
    alone.app, alone.takes_requests = RoutesApp((), {}, ()), False
    alone.jobs = command.needs(service.jobs)
    alone.consumers, alone.checks, alone.periodic_jobs = [], [], []
    return alone


class CommandInstance(Instance):
    """An instance that runs one command, and stops when that has ended."""

    def __init__(
        self, service: Service, settings: Settings, stream: Stream, command: Command, words: Sequence[str]
    ) -> None:
        super().__init__(service, settings, None, stream)
        self._command = CommandRun(command.called_with(words), self._note_end)
        self._name = command.name

    def _note_end(self, error: BaseException | None) -> None:
        if error is not None:
            self.exit_code = ExitCode.COMMAND_FAILED
        self.lifecycle.stop(StopCause("command"))

    def _begin_background(self) -> None:
        super()._begin_background()
        self._command.begin(RequestState(self._state))

    def _drainables(self) -> list[Drainable]:
        return [*super()._drainables(), self._command]

    def _finish(self, seconds: float, problems: list[str]) -> None:
        if not self._command.ended and self.exit_code is ExitCode.CLEAN:
            problems = [*problems, f"command {self._name!r} was not run, as a stop came before it began"]
            self.exit_code = ExitCode.UNCLEAN
        super()._finish(seconds, problems)
