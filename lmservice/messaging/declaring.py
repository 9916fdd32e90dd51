"""The half of `Service` that declares consumers."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from lmservice.errors import ServiceDefinitionError
from lmservice.messaging.loop import ConsumerLoop, declared_loop

F = TypeVar("F", bound=Callable[..., Any])


class Consuming:
    """What a service consumes.

    Attributes:
        consumers: as they were declared, their names all different.
    """

    consumers: list[ConsumerLoop]

    def consumer_loop(
        self,
        *,
        concurrency: int,
        name: str | None = None,
        after: Sequence[str] = (),
        critical: bool | None = None,
    ) -> Callable[[F], F]:
        """Register a loop that fetches messages of any broker, `async def jobs(state, intake)`; a decorator.

        It asks `await intake.room()` before each fetch, fetches at most `intake.free`, and hands over what it got:
        `intake.take(work(message))`. Its connection is open for as long as the loop runs, and so until nothing is in
        hand. One that raises, or returns before a stop, is begun anew after 0.1 s, and more each time, up to 30 s.

        Args:
            concurrency: how many messages may be in hand.
            name: in the check `consumer:NAME` and the metrics; default the function's name.
            after: start-up jobs that it needs, by name.
            critical: whether the service is unready while it is down; default only where it takes no requests.

        Raises:
            ServiceDefinitionError: the function is of another kind, or an argument makes no sense.
        """

        def register(function: F) -> F:
            loop = declared_loop(function, name=name, concurrency=concurrency, after=after, critical=critical)
            if any(other.name == loop.name for other in self.consumers):
                raise ServiceDefinitionError(f"two consumers are named {loop.name!r}: give one another name=")
            self.consumers.append(loop)
            return function

        return register
