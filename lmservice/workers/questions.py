"""What the supervisor has to ask the workers for, on behalf of the management listener, whose loop is another."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

from pydantic_core import from_json

from lmservice.errors import ProfileError
from lmservice.runtime import stacks
from lmservice.runtime.profiling import FORMS, Profile, ProfileRequest
from lmservice.telemetry.levels import Levels
from lmservice.workers.worker import PATIENCE, UnansweredError, Worker

T = TypeVar("T")


class Asked(Protocol):
    """Whose workers are asked."""

    loop: asyncio.AbstractEventLoop

    @property
    def workers(self) -> Sequence[Worker]:
        """Return those that have not ended."""


class Questions:
    """Asks all workers, or one of them; to be awaited on any loop."""

    def __init__(self, supervisor: Asked) -> None:
        self._supervisor = supervisor

    async def ask_all(self, question: str, **values: Any) -> dict[int, bytes | UnansweredError]:
        """Return each worker's answer, by its number."""
        return await self._on_loop(self._answers(question, values))

    async def answers(self, question: str, **values: Any) -> list[bytes]:
        """Return the workers' answers, without those that could not answer."""
        answers = await self.ask_all(question, **values)
        return [answer for answer in answers.values() if isinstance(answer, bytes)]

    async def stacks(self) -> dict[str, Any]:
        """Return the stacks of every task and thread, of each worker and of the supervisor itself."""
        own = stacks.snapshot(self._supervisor.loop, asyncio.get_running_loop())
        all_stacks = {kind: [{"worker": "supervisor", **stack} for stack in own[kind]] for kind in ("tasks", "threads")}
        problems = []
        for worker, answer in (await self.ask_all("tasks")).items():
            if isinstance(answer, Exception):
                problems.append(str(answer))
                continue
            for kind, its_stacks in from_json(answer).items():
                all_stacks[kind] += [{"worker": worker, **stack} for stack in its_stacks]
        return {**all_stacks, "problems": problems} if problems else all_stacks

    async def profile(self, request: ProfileRequest) -> Profile:
        """Return where the event loop's thread of one worker spends its time.

        Raises:
            ProfileError: it cannot be told.
        """
        worker = next((worker for worker in self._supervisor.workers if worker.number == request.worker), None)
        if worker is None:
            raise ProfileError(f"there is no worker {request.worker}: /readyz lists them", HTTPStatus.NOT_FOUND)
        patience = request.seconds + 10 * PATIENCE
        try:
            body = await self._on_loop(worker.ask("profile", patience=patience, **request._asdict()))
        except UnansweredError as error:
            raise ProfileError(str(error), error.status) from None
        return Profile(body, FORMS[request.form])

    async def _answers(self, question: str, values: dict[str, Any]) -> dict[int, bytes | UnansweredError]:
        """Ask on the supervisor's own loop."""
        workers = [worker for worker in self._supervisor.workers if worker.status]
        answers = await asyncio.gather(*(_answer(worker, question, values) for worker in workers))
        return {worker.number: answer for worker, answer in zip(workers, answers, strict=True)}

    async def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._supervisor.loop))


async def _answer(worker: Worker, question: str, values: dict[str, Any]) -> bytes | UnansweredError:
    try:
        return await worker.ask(question, **values)
    except UnansweredError as error:
        return error


class LevelsOfAll(Levels):
    """Log levels, which are the same in all workers.

    Args:
        answers: asks them, and returns what they answered.
    """

    def __init__(self, answers: Callable[..., Coroutine[Any, Any, list[bytes]]]) -> None:
        super().__init__()
        self._answers = answers

    async def report_of_all(self) -> dict[str, dict[str, Any]]:
        """Return what the first worker says that answers, as its loggers are the service's."""
        for answer in await self._answers("loggers"):
            levels: dict[str, dict[str, Any]] = from_json(answer)
            return levels
        return self.report()

    async def set_everywhere(self, name: str, body: bytes) -> dict[str, Any]:
        """Change a level here, then in all workers."""
        change = self.change(name, body)
        wanted = {key: change[key] for key in ("level", "duration")}
        await self._answers("level", name=name, change=wanted)
        return change
